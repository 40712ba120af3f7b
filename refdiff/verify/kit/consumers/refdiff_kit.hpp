// Reads refdiff's conformance kit and judges answers. C++17, header only, no dependencies.
//
//   refdiff::Kit kit("kit", "float32");            // the folder, and the precision of your answers
//   refdiff::Vector v = kit.vector("ops/silu/grid");
//   std::vector<double> x = v.tensors["in.x"].data;    // also .shape; v.attributes["eps"].number
//   refdiff::Verdict d = kit.judge(v, "out.y", mine);  // d.state, d.rho, d.nearest
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace refdiff {
struct Json {  // any JSON value; what is not there is null
  enum { Null, Bool, Number, String, Array, Object } kind = Null;
  double number = 0;  // 1 for true
  std::string text;
  std::vector<Json> items;
  std::map<std::string, Json> members;
  const Json& operator[](const std::string& key) const {
    static const Json null;
    auto found = members.find(key);
    return found == members.end() ? null : found->second;
  }
  double or_else(double value) const { return kind == Null ? value : number; }
};

class Parser {
  const std::string& s;
  size_t i = 0;
  [[noreturn]] void fail() { throw std::runtime_error("no JSON at byte " + std::to_string(i)); }
  char peek() {
    while (i < s.size() && std::strchr(" \t\r\n", s[i])) i++;
    return i < s.size() ? s[i] : (fail(), '\0');
  }
  bool take(char c) { return peek() == c && ++i; }
  std::string string() {
    std::string out;
    for (i++; i < s.size() && s[i] != '"'; i++) {
      if (s[i] != '\\') { out += s[i]; continue; }
      if (++i >= s.size()) fail();
      size_t at = std::string("nrtbf").find(s[i]);
      if (s[i] != 'u') { out += at == std::string::npos ? s[i] : "\n\r\t\b\f"[at]; continue; }
      unsigned u = std::stoul(s.substr(i + 1, 4), nullptr, 16);  // beyond ASCII: no name of ours
      out += u < 128 ? char(u) : '?';
      i += 4;
    }
    if (i++ >= s.size()) fail();
    return out;
  }

 public:
  explicit Parser(const std::string& text) : s(text) {}
  Json value() {
    Json j;
    const char c = peek();
    if (c == '"') return j.kind = Json::String, j.text = string(), j;
    if (c == '{' || c == '[') {
      char end = c == '{' ? '}' : ']';
      j.kind = c == '{' ? Json::Object : Json::Array;
      for (i++; !take(end); take(',')) {
        if (c == '[') { j.items.push_back(value()); continue; }
        if (peek() != '"') fail();
        std::string key = string();
        if (!take(':')) fail();
        j.members[key] = value();
      }
      return j;
    }
    if (c == 't' || c == 'f' || c == 'n') {
      const std::string word = c == 't' ? "true" : c == 'f' ? "false" : "null";
      if (s.compare(i, word.size(), word)) fail();
      i += word.size();
      j.kind = c == 'n' ? Json::Null : Json::Bool, j.number = c == 't';
      return j;
    }
    size_t used = 0;
    try { j.number = std::stod(s.substr(i, 40), &used); } catch (const std::exception&) { fail(); }
    i += used, j.kind = Json::Number;
    return j;
  }
};

struct Tensor { std::vector<size_t> shape; std::vector<double> data; };

struct Vector {  // its tensors: in.*, w.*, out.*, neg.<mistake>.out.*
  std::string id, of;
  Json attributes;
  std::map<std::string, Tensor> tensors;
};

struct Verdict {
  double error = 0, rho = 0;  // rms, and how many times honest rounding that is
  std::string state;          // explained, loose, unexplained, impossible
  std::string nearest;        // the known mistake nearest to the answer, and how far it is
  double nearest_rho = INFINITY;
};

inline double half(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double x = exponent == 31 ? (mantissa ? NAN : INFINITY)
                            : std::ldexp(exponent ? mantissa + 1024 : mantissa, std::max(exponent, 1) - 25);
  return h >> 15 ? -x : x;
}
template <class T> T raw(const char* p) { T x; std::memcpy(&x, p, sizeof x); return x; }

inline double element(const std::string& dtype, const char* p) {  // of a little-endian file
  if (dtype == "F64") return raw<double>(p);
  if (dtype == "F32") return raw<float>(p);
  if (dtype == "I64") return double(raw<int64_t>(p));
  if (dtype == "F16") return half(raw<uint16_t>(p));
  if (dtype != "BF16") throw std::runtime_error("the type " + dtype + " is not of a kit");
  uint32_t bits = uint32_t(raw<uint16_t>(p)) << 16;
  return raw<float>(reinterpret_cast<const char*>(&bits));
}

inline Vector read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  uint64_t n = bytes.size() < 8 ? 0 : raw<uint64_t>(bytes.data());
  if (!n || n > bytes.size() - 8) throw std::runtime_error(path + " is no safetensors file");
  std::string head = bytes.substr(8, n);
  Json header = Parser(head).value();
  if (header.kind != Json::Object) throw std::runtime_error(path + " has no header");
  Vector v;
  for (auto& [name, told] : header.members) {
    if (name == "__metadata__") continue;
    const std::string& dtype = told["dtype"].text;
    size_t width = dtype == "F64" || dtype == "I64" ? 8 : dtype == "F32" ? 4 : 2, count = 1;
    Tensor& t = v.tensors[name];
    for (auto& side : told["shape"].items) t.shape.push_back(size_t(side.number)), count *= t.shape.back();
    size_t begin = 8 + n + size_t(told["data_offsets"].items.at(0).number);
    if (begin + count * width > bytes.size()) throw std::runtime_error(path + " is cut off");
    for (size_t i = 0; i < count; i++) t.data.push_back(element(dtype, &bytes[begin + i * width]));
  }
  const Json& meta = header["__metadata__"];
  v.id = meta["id"].text, v.of = meta["of"].text;
  if (!meta["attributes"].text.empty()) v.attributes = Parser(meta["attributes"].text).value();
  return v;
}

class Kit {
  struct Row { std::string file; double runs, rms, largest, bound; };
  std::string folder;
  std::map<std::pair<std::string, std::string>, Row> rows;

 public:
  Kit(const std::string& path, const std::string& profile) : folder(path) {
    std::ifstream file(path + "/vectors.tsv");
    std::string line, id, in, out, name, cell[4];
    for (std::getline(file, line); std::getline(file, line);) {
      std::istringstream cells(line);
      for (std::string* c : {&id, &in, &out, &name, cell, cell + 1, cell + 2, cell + 3}) std::getline(cells, *c, '\t');
      if (name == profile)
        rows[{id, out}] = {in, std::stod(cell[0]), std::stod(cell[1]), std::stod(cell[2]), std::stod(cell[3])};
    }
    if (rows.empty()) throw std::runtime_error(path + " is no kit, or says nothing of " + profile);
  }
  const auto& outputs() const { return rows; }  // its keys are pairs (id, output)
  Vector vector(const std::string& id) const {
    auto found = rows.lower_bound({id, ""});
    if (found == rows.end() || found->first.first != id) throw std::runtime_error("no vector " + id);
    return read(folder + "/" + found->second.file);
  }
  Verdict judge(const Vector& v, const std::string& output, const std::vector<double>& mine) const {
    const auto& row = rows.at({v.id, output});
    const auto& right = v.tensors.at(output).data;
    if (mine.size() != right.size()) throw std::runtime_error(v.id + ": another number of elements");
    auto over = [](double a, double b) { return b > 0 ? a / b : a > 0 ? INFINITY : 0; };
    auto rms = [&](const std::vector<double>& a, bool difference) {
      double sum = 0;
      for (size_t i = 0; i < a.size(); i++) { double d = a[i] - (difference ? mine[i] : 0); sum += d * d; }
      return a.empty() ? 0 : std::sqrt(sum / a.size());
    };
    auto spread = [&](double n) { return std::sqrt((1 + 1 / std::max(row.runs, 1.0)) / (2 * n)); };
    double largest = 0;
    for (size_t i = 0; i < mine.size(); i++) largest = std::max(largest, std::abs(right[i] - mine[i]));
    bool finite = std::all_of(mine.begin(), mine.end(), [](double x) { return std::isfinite(x); });
    Verdict d;
    d.error = rms(right, true), d.rho = over(d.error, row.rms);
    double room = std::exp(3 * (spread(std::clamp<double>(mine.size(), 1, 64)) - spread(64)));
    double worst = std::max(d.rho, over(largest, row.largest) / 10) / room;
    d.state = !finite ? "unexplained" : largest > row.bound ? "impossible"
            : worst <= 4 ? "explained" : worst <= 16 ? "loose" : "unexplained";
    for (auto& [name, t] : v.tensors) {
      size_t dot = name.rfind("." + output);
      if (name.rfind("neg.", 0) != 0 || dot == std::string::npos || dot + 1 + output.size() != name.size()) continue;
      double far = over(rms(t.data, true), std::max(row.rms, std::ldexp(rms(t.data, false), -24)));
      if (far < d.nearest_rho) { d.nearest_rho = far; d.nearest = name.substr(4, dot - 4); }
    }
    return d;
  }
};
}  // namespace refdiff
