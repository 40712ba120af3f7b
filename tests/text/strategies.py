"""Prompts that separate right tokenizers from nearly right ones."""

from hypothesis import strategies as st

FRAGMENTS = [
    *("<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|endof", "|>"),
    *("'s", "'S", "'re", "'LL", "''", "'", "’s", "don't", "!", "!!!", "...", "_", "-"),
    *("cat", "Cats", "photograph", "straße", "ΣΊΣΥΦΟΣ", "İstanbul", "Ǆ", "ﬁ", "K", "Å"),
    *(" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u200b", "\ufeff"),
    *("\x00", "\x1c", "\x1f", "\x7f", "\u2028"),
    *(
        "1",
        "42",
        "½",
        "Ⅷ",
        "٣",
        "五",
        "²",
        "猫",
        "東京タワー",
        "한국",
        "각",
        "ไทย",
        "हिन्दी",
        "שלום",
    ),
    *("e\u0301", "\u0301", "\u0323\u0307", "\u0344", "a\u0328\u0301", "\u1101\u1161\u11a8"),
    *("🐸", "👨‍👩‍👧‍👦", "🇯🇵", "👍🏽", "❤️", "\ufffd", "\uffff", "\U0010ffff"),
    *("\U00011935\U00011930", "\ua7cb", "\U00010d50", "\u0898\u0301", "\U000323af"),
]

prompts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(FRAGMENTS) | st.characters(codec="utf-8"), max_size=40).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(" ".join),
)
