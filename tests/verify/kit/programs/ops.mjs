// A few ops in JavaScript, right, or wrong in the way that the second argument names.
import {readFileSync} from "node:fs";
import {Kit} from "./refdiff_kit.mjs";

const [folder, bug = ""] = process.argv.slice(2);
const file = (path) => {
  const bytes = readFileSync(`${folder}/${path}`);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};

function erf(x) {
  const z = Math.abs(x);
  if (z > 3) {
    let f = z;
    for (let k = 60; k > 0; k--) f = z + k / 2 / f;
    return Math.sign(x) * (1 - Math.exp(-z * z) / (f * Math.sqrt(Math.PI)));
  }
  let sum = 0;
  for (let n = 0, term = x; n < 60; term *= (-x * x) / ++n) sum += term / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const tanhGelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const gelu = bug === "tanh" ? tanhGelu : (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
const fill = (n, f) => Float64Array.from({length: n}, (_, i) => f(i));

function softmax(x) {
  const most = Math.max(...x), e = x.map((a) => Math.exp(a - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((a) => a / sum);
}

const ops = {
  silu: ({x}) => x.data.map((a) => a / (1 + Math.exp(-a))),
  gelu: ({x}) => x.data.map(gelu),
  geglu: ({x}) => {
    const D = x.shape.at(-1) / 2;
    const at = (i) => Math.floor(i / D) * 2 * D + (i % D);
    return fill(x.data.length / 2, (i) => x.data[at(i)] * gelu(x.data[at(i) + D]));
  },
  linear: ({x, w, b}) => {
    const I = x.shape.at(-1), O = w.shape[0];
    return fill((x.data.length / I) * O, (at) => {
      const row = Math.floor(at / O), o = at % O;
      let sum = b ? b.data[o] : 0;
      for (let i = 0; i < I; i++) sum += w.data[o * I + i] * x.data[row * I + i];
      return sum;
    });
  },
  group_norm: ({x, gamma, beta}, {groups, eps}) => {
    const [N, C] = x.shape, pixels = x.data.length / N / C, n = (C / groups) * pixels;
    const y = x.data.slice();
    for (let start = 0; start < y.length; start += n) {
      const part = x.data.subarray(start, start + n);
      const mean = part.reduce((a, b) => a + b, 0) / n;
      const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
      for (let i = start; i < start + n; i++) {
        const c = Math.floor(i / pixels) % C;
        const root = Math.sqrt(variance + (bug === "eps" ? 1e-6 : eps));
        y[i] = ((x.data[i] - mean) / root) * gamma.data[c] + beta.data[c];
      }
    }
    return y;
  },
  softmax: ({x}) => {
    const n = x.shape.at(-1), y = x.data.slice();
    for (let row = 0; row < y.length; row += n) y.set(softmax(x.data.subarray(row, row + n)), row);
    return y;
  },
  attention: ({q, k, v, mask}) => {
    const [N, heads, L, d] = q.shape, S = k.shape[2], e = v.shape[3], y = [];
    const scale = bug === "scale" ? 1 : 1 / Math.sqrt(d);
    for (let h = 0; h < N * heads; h++)
      for (let i = 0; i < L; i++) {
        const p = softmax(fill(S, (j) => {
          let sum = mask ? mask.data[i * S + j] : 0;
          for (let c = 0; c < d; c++) sum += q.data[(h * L + i) * d + c] * k.data[(h * S + j) * d + c] * scale;
          return sum;
        }));
        for (let c = 0; c < e; c++) y.push(p.reduce((sum, a, j) => sum + a * v.data[(h * S + j) * e + c], 0));
      }
    return y;
  },
  conv2d: ({x, w, b}, {stride = 1, padding = 0, dilation = 1, groups = 1}) => {
    const [top, bottom, left, right] = Array.isArray(padding) ? padding : Array(4).fill(padding);
    const [N, C, H, W] = x.shape, [O, c, K, M] = w.shape, y = [];
    const h = Math.floor((H + top + bottom - dilation * (K - 1) - 1) / stride) + 1;
    const l = Math.floor((W + left + right - dilation * (M - 1) - 1) / stride) + 1;
    for (let n = 0; n < N; n++)
      for (let o = 0; o < O; o++)
        for (let at = 0; at < h * l; at++) {
          let sum = b ? b.data[o] : 0;
          for (let tap = 0; tap < c * K * M; tap++) {
            const channel = Math.floor(o / (O / groups)) * c + Math.floor(tap / (K * M));
            const i = Math.floor(at / l) * stride + (Math.floor(tap / M) % K) * dilation - top;
            const j = (at % l) * stride + (tap % M) * dilation - left;
            if (i >= 0 && i < H && j >= 0 && j < W)
              sum += w.data[o * c * K * M + tap] * x.data[((n * C + channel) * H + i) * W + j];
          }
          y.push(sum);
        }
    return y;
  },
  timestep_embedding: ({t}, {width, flip_sin_to_cos = true, freq_shift = 0, max_period = 1e4}) => {
    const half = Math.floor(width / 2), first = flip_sin_to_cos !== (bug === "flip") ? "cos" : "sin";
    const second = first === "cos" ? "sin" : "cos";
    return fill(t.data.length * width, (at) => {
      const i = at % width;
      const phase = t.data[Math.floor(at / width)] * max_period ** (-(i % half) / (half - freq_shift));
      return i === 2 * half ? 0 : Math[i < half ? first : second](phase);
    });
  },
};

const kit = await Kit.open(file);
for (const {id, output} of kit.outputs()) {
  const v = await kit.vector(id);
  if (!ops[v.of]) continue;
  const named = Object.entries(v.tensors).map(([name, t]) => [name.replace(/^(in|w)\./, ""), t]);
  const mine = Array.from(ops[v.of](Object.fromEntries(named), v.attributes), Math.fround);
  const d = kit.judge(v, output, mine);
  console.log([id, d.state, d.rho, d.nearest, d.nearestRho].join("\t"));
}
