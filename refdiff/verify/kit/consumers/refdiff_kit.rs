//! Reads refdiff's conformance kit and judges answers. Rust, std only: `mod refdiff_kit;`
//!
//!     let kit = Kit::open("kit", "float32")?;      // the folder, the precision of your answers
//!     let v = kit.vector("ops/silu/grid")?;
//!     let x = &v.tensors["in.x"].data;             // also .shape; v.attributes.get("eps").number(0.0)
//!     let d = kit.judge(&v, "out.y", &mine)?;      // d.state, d.rho, d.nearest
#![allow(dead_code)]
use std::collections::BTreeMap;
use std::fs;

pub type Fail = Box<dyn std::error::Error>;

#[derive(Clone, Debug, PartialEq)]
pub enum Json { Null, Bool(bool), Number(f64), Text(String), Array(Vec<Json>), Object(BTreeMap<String, Json>) }

impl Json {
    pub fn get(&self, key: &str) -> &Json {
        match self { Json::Object(m) => m.get(key).unwrap_or(&Json::Null), _ => &Json::Null }
    }
    pub fn number(&self, otherwise: f64) -> f64 {
        match self { Json::Number(x) => *x, Json::Bool(b) => f64::from(*b), _ => otherwise }
    }
    pub fn text(&self) -> &str {
        match self { Json::Text(s) => s, _ => "" }
    }
    pub fn items(&self) -> &[Json] {
        match self { Json::Array(a) => a, _ => &[] }
    }
    pub fn parse(text: &str) -> Result<Json, Fail> {
        Parser { s: text.as_bytes(), i: 0 }.value()
    }
}

struct Parser<'a> { s: &'a [u8], i: usize }

impl Parser<'_> {
    fn peek(&mut self) -> Result<u8, Fail> {
        while self.i < self.s.len() && self.s[self.i].is_ascii_whitespace() { self.i += 1; }
        self.s.get(self.i).copied().ok_or_else(|| "the JSON is cut off".into())
    }
    fn take(&mut self, c: u8) -> Result<bool, Fail> {
        let is = self.peek()? == c;
        self.i += usize::from(is);
        Ok(is)
    }
    fn string(&mut self) -> Result<String, Fail> {
        let mut out = Vec::new();
        self.i += 1;
        loop {
            let c = *self.s.get(self.i).ok_or("the JSON is cut off")?;
            self.i += 1;
            match c {
                b'"' => return Ok(String::from_utf8(out)?),
                b'\\' => {
                    let e = *self.s.get(self.i).ok_or("the JSON is cut off")?;
                    self.i += 1;
                    if e == b'u' { self.i += 4; } // no name of ours has one
                    out.push(match e { b'n' => b'\n', b't' => b'\t', b'r' => b'\r', b'u' => b'?', e => e });
                }
                _ => out.push(c),
            }
        }
    }
    fn value(&mut self) -> Result<Json, Fail> {
        match self.peek()? {
            b'"' => Ok(Json::Text(self.string()?)),
            b'[' => {
                let mut items = Vec::new();
                self.i += 1;
                while !self.take(b']')? { items.push(self.value()?); self.take(b',')?; }
                Ok(Json::Array(items))
            }
            b'{' => {
                let mut members = BTreeMap::new();
                self.i += 1;
                while !self.take(b'}')? {
                    self.peek()?;
                    let key = self.string()?;
                    if !self.take(b':')? { return Err("no JSON: a colon is missing".into()); }
                    members.insert(key, self.value()?);
                    self.take(b',')?;
                }
                Ok(Json::Object(members))
            }
            _ => {
                let start = self.i;
                while self.i < self.s.len() && !b",]} \n\t\r".contains(&self.s[self.i]) { self.i += 1; }
                match std::str::from_utf8(&self.s[start..self.i])? {
                    "null" => Ok(Json::Null),
                    "true" => Ok(Json::Bool(true)),
                    "false" => Ok(Json::Bool(false)),
                    number => Ok(Json::Number(number.parse()?)),
                }
            }
        }
    }
}

pub struct Tensor { pub shape: Vec<usize>, pub data: Vec<f64> }
pub struct Vector { pub id: String, pub of: String, pub attributes: Json, pub tensors: BTreeMap<String, Tensor> }
pub struct Verdict { pub state: &'static str, pub error: f64, pub rho: f64, pub nearest: String, pub nearest_rho: f64 }

fn half(h: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(h >> 10 & 31), f64::from(h & 1023));
    let whole = if exponent > 0 { mantissa + 1024.0 } else { mantissa };
    let x = match exponent {
        31 if mantissa > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        e => whole * 2f64.powi(e.max(1) - 25),
    };
    if h >> 15 == 1 { -x } else { x }
}

fn element(dtype: &str, b: &[u8]) -> Result<f64, Fail> {
    let short = || b[..2].try_into().map(u16::from_le_bytes);
    Ok(match dtype {
        "F64" => f64::from_le_bytes(b.try_into()?),
        "F32" => f64::from(f32::from_le_bytes(b.try_into()?)),
        "I64" => i64::from_le_bytes(b.try_into()?) as f64,
        "F16" => half(short()?),
        "BF16" => f64::from(f32::from_bits(u32::from(short()?) << 16)),
        other => return Err(format!("the type {other} is not of a kit").into()),
    })
}

pub fn read(path: &str) -> Result<Vector, Fail> {
    let bytes = fs::read(path)?;
    let damaged = || format!("{path} is no safetensors file, or cut off");
    let n = u64::from_le_bytes(bytes.get(..8).ok_or_else(damaged)?.try_into()?) as usize;
    let header = Json::parse(std::str::from_utf8(bytes.get(8..8 + n).ok_or_else(damaged)?)?)?;
    let Json::Object(entries) = &header else { return Err(damaged().into()) };
    let mut tensors = BTreeMap::new();
    for (name, told) in entries.iter().filter(|(name, _)| *name != "__metadata__") {
        let shape: Vec<usize> = told.get("shape").items().iter().map(|n| n.number(0.0) as usize).collect();
        let ends: Vec<usize> = told.get("data_offsets").items().iter().map(|n| 8 + n.number(0.0) as usize).collect();
        let part = ends.get(1).and_then(|end| bytes.get(n + ends[0]..n + end)).ok_or_else(damaged)?;
        let dtype = told.get("dtype").text();
        let width = match dtype { "F64" | "I64" => 8, "F32" => 4, _ => 2 };
        let data = part.chunks_exact(width).map(|b| element(dtype, b)).collect::<Result<_, _>>()?;
        tensors.insert(name.clone(), Tensor { shape, data });
    }
    let told = header.get("__metadata__");
    let attributes = Json::parse(told.get("attributes").text()).unwrap_or(Json::Null);
    Ok(Vector { id: told.get("id").text().into(), of: told.get("of").text().into(), attributes, tensors })
}

struct Row { file: String, runs: f64, unit: f64, largest: f64, bound: f64 }
pub struct Kit { folder: String, rows: BTreeMap<(String, String), Row> }

impl Kit {
    pub fn open(folder: &str, profile: &str) -> Result<Kit, Fail> {
        let mut rows = BTreeMap::new();
        for line in fs::read_to_string(format!("{folder}/vectors.tsv"))?.lines().skip(1) {
            let c: Vec<&str> = line.split('\t').collect();
            if c.len() == 8 && c[3] == profile {
                let row = Row { file: c[1].into(), runs: c[4].parse()?, unit: c[5].parse()?, largest: c[6].parse()?, bound: c[7].parse()? };
                rows.insert((c[0].to_string(), c[2].to_string()), row);
            }
        }
        if rows.is_empty() { return Err(format!("{folder} is no kit, or says nothing of {profile}").into()); }
        Ok(Kit { folder: folder.into(), rows })
    }
    /// (id, output) of all there is to judge.
    pub fn outputs(&self) -> impl Iterator<Item = &(String, String)> { self.rows.keys() }
    pub fn vector(&self, id: &str) -> Result<Vector, Fail> {
        let row = self.rows.iter().find(|(key, _)| key.0 == id).ok_or_else(|| format!("no vector {id}"))?.1;
        read(&format!("{}/{}", self.folder, row.file))
    }
    pub fn judge(&self, v: &Vector, output: &str, mine: &[f64]) -> Result<Verdict, Fail> {
        let row = self.rows.get(&(v.id.clone(), output.into())).ok_or_else(|| format!("no output {output}"))?;
        let right = &v.tensors[output].data;
        if mine.len() != right.len() { return Err(format!("{}: another number of elements", v.id).into()); }
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else if a == 0.0 { 0.0 } else { f64::INFINITY };
        let root = |sum: f64| (sum / mine.len().max(1) as f64).sqrt();
        let apart = |a: &[f64]| root(a.iter().zip(mine).map(|(x, y)| (x - y).powi(2)).sum());
        let largest = right.iter().zip(mine).fold(0f64, |most, (x, y)| most.max((x - y).abs()));
        let spread = |n: f64| ((1.0 + 1.0 / row.runs.max(1.0)) / (2.0 * n)).sqrt();
        let (error, few) = (apart(right), (mine.len() as f64).clamp(1.0, 64.0));
        let rho = over(error, row.unit);
        let worst = rho.max(over(largest, row.largest) / 10.0) / (3.0 * (spread(few) - spread(64.0))).exp();
        let state = match worst {
            _ if mine.iter().any(|x| !x.is_finite()) => "unexplained",
            _ if largest > row.bound => "impossible",
            w if w <= 4.0 => "explained",
            w if w <= 16.0 => "loose",
            _ => "unexplained",
        };
        let mut d = Verdict { state, error, rho, nearest: String::new(), nearest_rho: f64::INFINITY };
        for (name, t) in &v.tensors {
            let end = format!(".{output}");
            let Some(id) = name.strip_prefix("neg.").and_then(|n| n.strip_suffix(&end)) else { continue };
            let size = root(t.data.iter().map(|x| x * x).sum());
            let far = over(apart(&t.data), row.unit.max(size * 2f64.powi(-24)));
            if far < d.nearest_rho { (d.nearest, d.nearest_rho) = (id.into(), far); }
        }
        Ok(d)
    }
}
