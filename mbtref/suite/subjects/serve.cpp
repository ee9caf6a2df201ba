// A program in C++ as a subject, to begin a port with: it reads rANS streams (docs/specification.md, §5).
// The protocol is in docs/subjects.md. The first four functions serve any operation on a little-endian machine.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>
using std::string, std::vector;

string text_of(const string& request, const string& key) {  // a text or a number. Paths here need no escapes
    size_t at = request.find("\"" + key + "\": ");
    if (at == string::npos) return "";
    at = request.find_first_not_of("\" ", at + key.size() + 3);
    return request.substr(at, request.find_first_of("\",}", at) - at);
}

string bytes_in(const string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

template <class T> vector<T> values_in(const string& path) {  // of a .npy file, in the order of its axes
    string data = bytes_in(path);
    size_t begin = 10 + (uint8_t)data.at(8) + 256 * (uint8_t)data.at(9);
    vector<T> values((data.size() - begin) / sizeof(T));
    std::memcpy(values.data(), data.data() + begin, values.size() * sizeof(T));
    return values;
}

template <class T> void save(const string& path, const string& dtype, const string& shape, const vector<T>& values) {
    string header = "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (" + shape + "), }";
    header.resize(117, ' ');
    std::ofstream file(path, std::ios::binary);
    file << string("\x93NUMPY\1\0\x76\0", 10) << header << '\n';  // 118 bytes, with the end of the line
    file.write((const char*)values.data(), values.size() * sizeof(T));
}

vector<int32_t> rans_decode(const string& stream, const vector<int32_t>& indexes, const vector<int32_t>& cdf,
                            const vector<int32_t>& length, const vector<int32_t>& offset) {
    vector<uint32_t> words(stream.size() / 4);
    std::memcpy(words.data(), stream.data(), 4 * words.size());
    uint64_t next = 2, x = words.at(0) | (uint64_t)words.at(1) << 32;
    vector<int32_t> digits(17), symbols;
    std::iota(digits.begin(), digits.end(), 0);
    auto step = [&](int bits, const int32_t* start) {  // reads a bin by the starts of all bins, moves the state on
        int32_t slot = x % (1 << bits), bin = 0;
        while (start[bin + 1] <= slot) bin++;
        x = (start[bin + 1] - start[bin]) * (x >> bits) + (slot - start[bin]);
        if (x < 1u << 31) x = x << 32 | words.at(next++);
        return (int64_t)bin;
    };
    for (int32_t table : indexes) {
        int64_t i = step(16, &cdf[table * (cdf.size() / length.size())]), escape = length[table] - 2, raw = 0;
        if (i == escape) {
            for (int64_t j = 0, count = step(4, digits.data()); j < count; j++) raw |= step(4, digits.data()) << 4 * j;
            i = raw % 2 ? -(raw + 1) / 2 : raw / 2 + escape;
        }
        symbols.push_back(offset[table] + i);
    }
    return symbols;
}

int main() {  // standard output is for answers alone
    for (string request, answer; std::getline(std::cin, request); std::cout << answer << std::endl) {
        auto ints = [&](const string& key) { return values_in<int32_t>(text_of(request, key)); };
        answer = "{\"id\": " + text_of(request, "id") + R"(, "unsupported": true})";
        if (text_of(request, "hello") == "true") {
            answer = R"({"name": "C++", "version": "1", "capabilities": ["rans"]})";
        } else if (text_of(request, "operation") == "rans_decode") {
            auto symbols = rans_decode(bytes_in(text_of(request, "stream")), ints("indexes"), ints("cdf"),
                                       ints("length"), ints("offset"));
            save(text_of(request, "folder") + "/symbols.npy", "<i4", std::to_string(symbols.size()) + ",", symbols);
            answer = "{\"id\": " + text_of(request, "id") + R"(, "result": {"symbols": "symbols.npy"}})";
        }
    }
}
