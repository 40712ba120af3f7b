// A few ops in Rust, right, or wrong in the way that the second argument names.
mod refdiff_kit;
use refdiff_kit::{Fail, Kit, Vector};

fn erf(x: f64) -> f64 {
    let z = x.abs();
    if z > 3.0 {
        let f = (1..=60).rev().fold(z, |f, k| z + f64::from(k) / 2.0 / f);
        return x.signum() * (1.0 - (-z * z).exp() / (f * std::f64::consts::PI.sqrt()));
    }
    let (mut sum, mut term) = (0.0, x);
    for n in 0..60 {
        sum += term / f64::from(2 * n + 1);
        term *= -x * x / f64::from(n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn gelu(x: f64, bug: &str) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    match bug {
        "tanh" => 0.5 * x * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh()),
        _ => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
    }
}

fn softmax(x: &mut [f64]) {
    let most = x.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    x.iter_mut().for_each(|a| *a = (*a - most).exp());
    let sum: f64 = x.iter().sum();
    x.iter_mut().for_each(|a| *a /= sum);
}

fn data<'a>(v: &'a Vector, name: &str) -> &'a [f64] {
    v.tensors.get(name).map_or(&[], |t| &t.data)
}

fn linear(v: &Vector) -> Vec<f64> {
    let (w, b, width) = (data(v, "w.w"), data(v, "w.b"), *v.tensors["in.x"].shape.last().unwrap());
    let rows = data(v, "in.x").chunks(width);
    let product = |row: &[f64], o: usize| -> f64 { w[o * width..][..width].iter().zip(row).map(|(a, b)| a * b).sum() };
    let outputs = w.len() / width;
    rows.flat_map(|row| (0..outputs).map(move |o| (row, o)))
        .map(|(row, o)| product(row, o) + b.get(o).unwrap_or(&0.0))
        .collect()
}

fn group_norm(v: &Vector, bug: &str) -> Vec<f64> {
    let (x, shape) = (data(v, "in.x"), &v.tensors["in.x"].shape);
    let pixels = x.len() / shape[0] / shape[1];
    let n = shape[1] / v.attributes.get("groups").number(1.0) as usize * pixels;
    let eps = if bug == "eps" { 1e-6 } else { v.attributes.get("eps").number(0.0) };
    let mut y = Vec::new();
    for part in x.chunks(n) {
        let mean = part.iter().sum::<f64>() / n as f64;
        let variance = part.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n as f64;
        for a in part {
            let c = y.len() / pixels % shape[1];
            y.push((a - mean) / (variance + eps).sqrt() * data(v, "w.gamma")[c] + data(v, "w.beta")[c]);
        }
    }
    y
}

fn attention(v: &Vector, bug: &str) -> Vec<f64> {
    let (q, k, values, mask) = (&v.tensors["in.q"], &v.tensors["in.k"], &v.tensors["in.v"], data(v, "in.mask"));
    let (l, d, s, e) = (q.shape[2], q.shape[3], k.shape[2], values.shape[3]);
    let scale = if bug == "scale" { 1.0 } else { 1.0 / (d as f64).sqrt() };
    let mut y = Vec::new();
    for row in 0..q.data.len() / d {
        let (h, i) = (row / l, row % l);
        let logit = |j: usize| -> f64 {
            let dot: f64 = (0..d).map(|c| q.data[row * d + c] * k.data[(h * s + j) * d + c]).sum();
            dot * scale + mask.get(i * s + j).unwrap_or(&0.0)
        };
        let mut p: Vec<f64> = (0..s).map(logit).collect();
        softmax(&mut p);
        y.extend((0..e).map(|c| (0..s).map(|j| p[j] * values.data[(h * s + j) * e + c]).sum::<f64>()));
    }
    y
}

fn conv2d(v: &Vector) -> Vec<f64> {
    let (x, w, b) = (&v.tensors["in.x"], &v.tensors["w.w"], data(v, "w.b"));
    let told = |key: &str, otherwise: f64| v.attributes.get(key).number(otherwise) as isize;
    let sides = v.attributes.get("padding").items();
    let pad: Vec<isize> = (0..4).map(|i| sides.get(i).map_or(told("padding", 0.0), |p| p.number(0.0) as isize)).collect();
    let (stride, dilation, groups) = (told("stride", 1.0), told("dilation", 1.0), told("groups", 1.0));
    let size = |t: &[usize]| -> Vec<isize> { t.iter().map(|n| *n as isize).collect() };
    let ([n, channels, height, width], [o, c, k, m]) = (size(&x.shape).try_into().unwrap(), size(&w.shape).try_into().unwrap());
    let h = (height + pad[0] + pad[1] - dilation * (k - 1) - 1) / stride + 1;
    let l = (width + pad[2] + pad[3] - dilation * (m - 1) - 1) / stride + 1;
    let mut y = Vec::new();
    for at in 0..n * o * h * l {
        let (sample, out, row, column) = (at / (o * h * l), at / (h * l) % o, at / l % h, at % l);
        let mut sum = *b.get(out as usize).unwrap_or(&0.0);
        for tap in 0..c * k * m {
            let channel = out / (o / groups) * c + tap / (k * m);
            let i = row * stride + tap / m % k * dilation - pad[0];
            let j = column * stride + tap % m * dilation - pad[2];
            if (0..height).contains(&i) && (0..width).contains(&j) {
                let place = ((sample * channels + channel) * height + i) * width + j;
                sum += w.data[(out * c * k * m + tap) as usize] * x.data[place as usize];
            }
        }
        y.push(sum);
    }
    y
}

fn timestep_embedding(v: &Vector, bug: &str) -> Vec<f64> {
    let told = |key: &str, otherwise: f64| v.attributes.get(key).number(otherwise);
    let (width, flip) = (told("width", 0.0) as usize, told("flip_sin_to_cos", 1.0) != 0.0);
    let (half, cosines_first) = (width / 2, flip != (bug == "flip"));
    let wave = |t: f64, i: usize| {
        let exponent = -((i % half) as f64) / (half as f64 - told("freq_shift", 0.0));
        let phase = t * told("max_period", 1e4).powf(exponent);
        if i == 2 * half { 0.0 } else if (i < half) == cosines_first { phase.cos() } else { phase.sin() }
    };
    data(v, "in.t").iter().flat_map(|t| (0..width).map(move |i| wave(*t, i))).collect()
}

fn answer(v: &Vector, bug: &str) -> Option<Vec<f64>> {
    let x = data(v, "in.x");
    Some(match v.of.as_str() {
        "silu" => x.iter().map(|a| a / (1.0 + (-a).exp())).collect(),
        "gelu" => x.iter().map(|a| gelu(*a, bug)).collect(),
        "geglu" => {
            let width = *v.tensors["in.x"].shape.last().unwrap();
            x.chunks(width).flat_map(|row| (0..width / 2).map(|i| row[i] * gelu(row[width / 2 + i], bug))).collect()
        }
        "linear" => linear(v),
        "group_norm" => group_norm(v, bug),
        "softmax" => {
            let mut y = x.to_vec();
            y.chunks_mut(*v.tensors["in.x"].shape.last().unwrap()).for_each(softmax);
            y
        }
        "attention" => attention(v, bug),
        "conv2d" => conv2d(v),
        "timestep_embedding" => timestep_embedding(v, bug),
        _ => return None,
    })
}

fn main() -> Result<(), Fail> {
    let arguments: Vec<String> = std::env::args().collect();
    let bug = arguments.get(2).map_or("", String::as_str);
    let kit = Kit::open(&arguments[1], "float32")?;
    for (id, output) in kit.outputs() {
        let v = kit.vector(id)?;
        if let Some(y) = answer(&v, bug) {
            let single: Vec<f64> = y.iter().map(|a| f64::from(*a as f32)).collect();
            let d = kit.judge(&v, output, &single)?;
            println!("{id}\t{}\t{}\t{}\t{}", d.state, d.rho, d.nearest, d.nearest_rho);
        }
    }
    Ok(())
}
