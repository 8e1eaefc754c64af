// Pillow's Resample.c by AVX2, bit for bit: sums of byte times weight in 32 bits, rounded to bytes after each pass.

#include "resample.h"

#include <cstring>
#include <vector>

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

namespace {

constexpr int PRECISION = 22;
constexpr int HALF = 1 << (PRECISION - 1);

uint8_t rounded(int sum) {
    const int value = sum >> PRECISION;
    return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

}  // namespace

bool runner_resample_available(void) { return __builtin_cpu_supports("avx2"); }

// Weights in two halves of 11 bits, so that pairs of products are summed at once; for four inputs at a time, a pair of
// inputs in each half of a register, each pair as often as a pixel has bytes.
struct Split {
    std::vector<int16_t> values;
    // Fours of inputs that a position has room for.
    size_t fours;

    explicit Split(const RunnerWeights &weights) : fours((weights.stride + 3) / 4) {
        values.resize(weights.positions * fours * 32);
        for (size_t x = 0; x < weights.positions; x++) {
            for (size_t i = 0; i < weights.count[x]; i++) {
                const int32_t weight = weights.weights[x * weights.stride + i];
                int16_t *high = values.data() + (x * fours + i / 4) * 32 + i % 4 / 2 * 8 + i % 2;
                for (size_t copy = 0; copy < 4; copy++) {
                    high[2 * copy] = static_cast<int16_t>(weight >> 11);
                    high[2 * copy + 16] = static_cast<int16_t>(weight & 2047);
                }
            }
        }
    }
};

AVX2 void runner_resample_rows(const uint8_t *source, size_t width, size_t rows, const RunnerWeights *weights,
                               uint8_t *line, uint8_t *out) {
    // Of four pixels of three bytes: a channel of the first two, or of the last two, side by side.
    const __m256i apart = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                           6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const Split split(*weights);
    std::memset(line + 3 * width, 0, RUNNER_RESAMPLE_ROOM);
    for (size_t y = 0; y < rows; y++) {
        std::memcpy(line, source + 3 * width * y, 3 * width);
        const int16_t *fours = split.values.data();
        for (size_t x = 0; x < weights->positions; x++, fours += 32 * split.fours) {
            const uint8_t *pixels = line + 3 * static_cast<size_t>(weights->first[x]);
            __m256i high = _mm256_setzero_si256(), low = _mm256_setzero_si256();
            for (uint32_t i = 0; i < weights->count[x]; i += 4) {
                const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i *>(pixels + 3 * i));
                const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), apart);
                const auto *factors = reinterpret_cast<const __m256i *>(fours + 8 * i);
                high = _mm256_add_epi32(high, _mm256_madd_epi16(values, _mm256_loadu_si256(factors)));
                low = _mm256_add_epi32(low, _mm256_madd_epi16(values, _mm256_loadu_si256(factors + 1)));
            }
            const __m256i sums = _mm256_add_epi32(_mm256_slli_epi32(high, 11), low);
            __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
            sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), PRECISION);
            sum = _mm_packs_epi32(sum, sum);
            const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
            std::memcpy(out, &bytes, 3);
            out += 3;
        }
    }
}

AVX2 void runner_resample_columns(const uint8_t *source, size_t stride, const RunnerWeights *weights, uint8_t *out) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t y = 0; y < weights->positions; y++, out += stride) {
        const uint8_t *rows = source + stride * weights->first[y];
        const int32_t *weight = weights->weights + y * weights->stride;
        const uint32_t count = weights->count[y];
        size_t x = 0;
        for (; x + 32 <= stride; x += 32) {
            __m256i sums[4];
            for (auto &sum : sums) sum = _mm256_set1_epi32(HALF);
            for (uint32_t i = 0; i < count; i++) {
                const uint8_t *row = rows + stride * i + x;
                const __m256i factor = _mm256_set1_epi32(weight[i]);
                for (int part = 0; part < 4; part++) {
                    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(row + 8 * part));
                    const __m256i product = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(eight), factor);
                    sums[part] = _mm256_add_epi32(sums[part], product);
                }
            }
            for (auto &sum : sums) sum = _mm256_srai_epi32(sum, PRECISION);
            const __m256i bytes =
                _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]), _mm256_packs_epi32(sums[2], sums[3]));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + x), _mm256_permutevar8x32_epi32(bytes, order));
        }
        for (; x < stride; x++) {
            int sum = HALF;
            for (uint32_t i = 0; i < count; i++) sum += rows[stride * i + x] * weight[i];
            out[x] = rounded(sum);
        }
    }
}

#else

bool runner_resample_available(void) { return false; }
void runner_resample_rows(const uint8_t *, size_t, size_t, const RunnerWeights *, uint8_t *, uint8_t *) {}
void runner_resample_columns(const uint8_t *, size_t, const RunnerWeights *, uint8_t *) {}

#endif
