// Reads refdiff's conformance kit and judges answers. JavaScript module, no packages; node or a
// browser: give `Kit` a function that fetches a file of the kit as an ArrayBuffer.
//
//   const kit = await Kit.open((path) => fetch(`kit/${path}`).then((r) => r.arrayBuffer()));
//   const v = await kit.vector("ops/silu/grid");
//   v.tensors["in.x"].data, .shape, v.attributes.eps
//   kit.judge(v, "out.y", mine)                // {state, rho, error, nearest, nearestRho}

const SIZES = {F64: 8, I64: 8, F32: 4, F16: 2, BF16: 2};

function half(h) {
  const exponent = (h >> 10) & 31, mantissa = h & 1023, sign = h >> 15 ? -1 : 1;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? mantissa + 1024 : mantissa) * 2 ** (Math.max(exponent, 1) - 25);
}

function bfloat(h) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, h << 16);
  return view.getFloat32(0);
}

const READERS = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  F16: (view, at) => half(view.getUint16(at, true)),
  BF16: (view, at) => bfloat(view.getUint16(at, true)),
};

/** The tensors of a safetensors file as {name: {shape, data}}, data in Float64Array; its metadata. */
export function read(buffer) {
  const view = new DataView(buffer);
  const length = buffer.byteLength < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (!length || length > buffer.byteLength - 8) throw new Error("this is no safetensors file");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const {__metadata__: metadata = {}, ...entries} = header;
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [begin]}] of Object.entries(entries)) {
    if (!SIZES[dtype]) throw new Error(`${name} has the type ${dtype}, which is not of a kit`);
    const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++) {
      data[i] = READERS[dtype](view, 8 + length + begin + i * SIZES[dtype]);
    }
    tensors[name] = {shape, data};
  }
  return {tensors, metadata};
}

const over = (a, b) => (b > 0 ? a / b : a > 0 || Number.isNaN(a) ? Infinity : 0);

function rms(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - (b ? b[i] : 0)) ** 2;
  return a.length ? Math.sqrt(sum / a.length) : 0;
}

export class Kit {
  /** fetchFile: path in the kit -> Promise of an ArrayBuffer; profile: float32, float16, bfloat16 */
  static async open(fetchFile, profile = "float32") {
    const kit = new Kit();
    kit.fetchFile = fetchFile;
    kit.rows = new Map();
    const text = new TextDecoder().decode(await fetchFile("vectors.tsv"));
    for (const line of text.trim().split("\n").slice(1)) {
      const [id, file, output, name, ...numbers] = line.split("\t");
      const [runs, unit, largest, bound] = numbers.map((x) => (x === "inf" ? Infinity : Number(x)));
      if (name === profile) kit.rows.set(`${id}\t${output}`, {id, file, output, runs, unit, largest, bound});
    }
    if (!kit.rows.size) throw new Error(`this is no kit, or it says nothing of ${profile}`);
    return kit;
  }

  /** [{id, output}] of all there is to judge. */
  outputs() {
    return [...this.rows.values()];
  }

  /** {id, of, attributes, tensors} */
  async vector(id) {
    const row = this.outputs().find((r) => r.id === id);
    if (!row) throw new Error(`no vector ${id}`);
    const {tensors, metadata} = read(await this.fetchFile(row.file));
    return {id, of: metadata.of, attributes: JSON.parse(metadata.attributes), tensors};
  }

  /** How an answer, an array of numbers, compares with what is right. */
  judge(vector, output, mine) {
    const row = this.rows.get(`${vector.id}\t${output}`);
    const right = vector.tensors[output].data;
    if (mine.length !== right.length) throw new Error(`${vector.id}: another number of elements`);
    const error = rms(right, mine), rho = over(error, row.unit);
    const finite = Array.prototype.every.call(mine, Number.isFinite);
    const largest = right.reduce((most, x, i) => Math.max(most, Math.abs(x - mine[i])), 0);
    const spread = (n) => Math.sqrt((1 + 1 / Math.max(row.runs, 1)) / (2 * n));
    const few = Math.min(Math.max(mine.length, 1), 64);
    const worst = Math.max(rho, over(largest, row.largest) / 10) / Math.exp(3 * (spread(few) - spread(64)));
    const size = worst <= 4 ? "explained" : worst <= 16 ? "loose" : "unexplained";
    const state = !finite ? "unexplained" : largest > row.bound ? "impossible" : size;
    let nearest = "", nearestRho = Infinity;
    for (const [name, {data}] of Object.entries(vector.tensors)) {
      if (!name.startsWith("neg.") || !name.endsWith(`.${output}`)) continue;
      const far = over(rms(data, mine), Math.max(row.unit, rms(data) * 2 ** -24));
      if (far < nearestRho) [nearest, nearestRho] = [name.slice(4, -output.length - 1), far];
    }
    return {state, rho, error, nearest, nearestRho};
  }
}
