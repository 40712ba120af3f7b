// A few ops in C++, right, or wrong in the way that the second argument names: ops KIT [BUG]
#include "refdiff_kit.hpp"

#include <cstdio>

using Data = std::vector<double>;
std::string bug;

Data f32(Data x) {
  for (double& a : x) a = float(a);
  return x;
}

double gelu(double x) {
  if (bug == "tanh") return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
}

Data elementwise(refdiff::Vector& v) {
  Data y = v.tensors["in.x"].data;
  for (double& x : y) x = v.of == "gelu" ? gelu(x) : x / (1 + std::exp(-x));
  return y;
}

Data geglu(refdiff::Vector& v) {
  auto& [shape, x] = v.tensors["in.x"];
  size_t D = shape.back() / 2;
  Data y;
  for (size_t row = 0; row < x.size(); row += 2 * D)
    for (size_t i = 0; i < D; i++) y.push_back(x[row + i] * gelu(x[row + D + i]));
  return y;
}

Data linear(refdiff::Vector& v) {
  auto& [shape, x] = v.tensors["in.x"];
  Data &w = v.tensors["w.w"].data, &b = v.tensors["w.b"].data, y;
  size_t I = shape.back(), O = w.size() / I;
  for (size_t row = 0; row < x.size(); row += I)
    for (size_t o = 0; o < O; o++) {
      double sum = b.empty() ? 0 : b[o];
      for (size_t i = 0; i < I; i++) sum += w[o * I + i] * x[row + i];
      y.push_back(sum);
    }
  return y;
}

Data group_norm(refdiff::Vector& v) {
  auto& [shape, x] = v.tensors["in.x"];
  Data &gamma = v.tensors["w.gamma"].data, &beta = v.tensors["w.beta"].data, y(x.size());
  size_t C = shape[1], G = size_t(v.attributes["groups"].number), pixels = x.size() / shape[0] / C;
  double eps = bug == "eps" ? 1e-6 : v.attributes["eps"].number;
  size_t n = C / G * pixels;
  for (size_t start = 0; start < x.size(); start += n) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) mean += x[start + i] / n;
    for (size_t i = 0; i < n; i++) variance += (x[start + i] - mean) * (x[start + i] - mean) / n;
    for (size_t i = start; i < start + n; i++) {
      size_t c = i / pixels % C;
      y[i] = (x[i] - mean) / std::sqrt(variance + eps) * gamma[c] + beta[c];
    }
  }
  return y;
}

void softmax(double* x, size_t n) {
  double most = *std::max_element(x, x + n), sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i] = std::exp(x[i] - most);
  for (size_t i = 0; i < n; i++) x[i] /= sum;
}

Data softmaxes(refdiff::Vector& v) {
  auto& [shape, x] = v.tensors["in.x"];
  Data y = x;
  for (size_t row = 0; row < y.size(); row += shape.back()) softmax(&y[row], shape.back());
  return y;
}

Data attention(refdiff::Vector& v) {
  auto &q = v.tensors["in.q"], &k = v.tensors["in.k"], &values = v.tensors["in.v"];
  Data& mask = v.tensors["in.mask"].data;
  size_t heads = q.shape[0] * q.shape[1], L = q.shape[2], S = k.shape[2], d = q.shape[3], e = values.shape[3];
  double scale = bug == "scale" ? 1 : 1 / std::sqrt(double(d));
  Data y(heads * L * e), p(S);
  for (size_t h = 0; h < heads; h++)
    for (size_t i = 0; i < L; i++) {
      for (size_t j = 0; j < S; j++) {
        p[j] = mask.empty() ? 0 : mask[i * S + j];
        for (size_t c = 0; c < d; c++) p[j] += q.data[(h * L + i) * d + c] * k.data[(h * S + j) * d + c] * scale;
      }
      softmax(p.data(), S);
      for (size_t j = 0; j < S; j++)
        for (size_t c = 0; c < e; c++) y[(h * L + i) * e + c] += p[j] * values.data[(h * S + j) * e + c];
    }
  return y;
}

Data conv2d(refdiff::Vector& v) {
  auto &x = v.tensors["in.x"], &w = v.tensors["w.w"];
  Data& b = v.tensors["w.b"].data;
  const refdiff::Json& told = v.attributes["padding"];
  double pad[4];
  for (int i = 0; i < 4; i++) pad[i] = told.items.empty() ? told.or_else(0) : told.items[i].number;
  long stride = long(v.attributes["stride"].or_else(1)), dilation = long(v.attributes["dilation"].or_else(1));
  long groups = long(v.attributes["groups"].or_else(1));
  long N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3];
  long O = w.shape[0], c = w.shape[1], K = w.shape[2], M = w.shape[3];
  long h = (H + pad[0] + pad[1] - dilation * (K - 1) - 1) / stride + 1;
  long l = (W + pad[2] + pad[3] - dilation * (M - 1) - 1) / stride + 1;
  Data y;
  for (long n = 0; n < N; n++)
    for (long o = 0; o < O; o++)
      for (long at = 0; at < h * l; at++) {
        double sum = b.empty() ? 0 : b[o];
        for (long tap = 0; tap < c * K * M; tap++) {
          long channel = o / (O / groups) * c + tap / (K * M), u = tap / M % K, s = tap % M;
          long i = at / l * stride + u * dilation - long(pad[0]), j = at % l * stride + s * dilation - long(pad[2]);
          if (i >= 0 && i < H && j >= 0 && j < W)
            sum += w.data[o * c * K * M + tap] * x.data[((n * C + channel) * H + i) * W + j];
        }
        y.push_back(sum);
      }
  return y;
}

Data timestep_embedding(refdiff::Vector& v) {
  size_t width = size_t(v.attributes["width"].number), half = width / 2;
  bool cosines_first = v.attributes["flip_sin_to_cos"].or_else(1) != 0;
  if (bug == "flip") cosines_first = !cosines_first;
  double shift = v.attributes["freq_shift"].or_else(0), period = v.attributes["max_period"].or_else(1e4);
  Data y;
  for (double t : v.tensors["in.t"].data)
    for (size_t i = 0; i < width; i++) {
      double phase = t * std::pow(period, -double(i % half) / (half - shift));
      y.push_back(i == 2 * half ? 0 : (i < half) == cosines_first ? std::cos(phase) : std::sin(phase));
    }
  return y;
}

int main(int argc, char** argv) {
  bug = argc > 2 ? argv[2] : "";
  std::map<std::string, Data (*)(refdiff::Vector&)> ops = {
      {"silu", elementwise}, {"gelu", elementwise}, {"geglu", geglu}, {"linear", linear},
      {"group_norm", group_norm}, {"softmax", softmaxes}, {"attention", attention},
      {"conv2d", conv2d}, {"timestep_embedding", timestep_embedding}};
  refdiff::Kit kit(argv[1], "float32");
  for (auto& [key, row] : kit.outputs()) {
    refdiff::Vector v = kit.vector(key.first);
    if (!ops.count(v.of)) continue;
    refdiff::Verdict d = kit.judge(v, key.second, f32(ops[v.of](v)));
    std::printf("%s\t%s\t%.6g\t%s\t%.6g\n", v.id.c_str(), d.state.c_str(), d.rho, d.nearest.c_str(), d.nearest_rho);
  }
}
