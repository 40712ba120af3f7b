"""The conformance kit: questions with their answers, for implementations in any language."""
