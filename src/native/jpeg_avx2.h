// The steps of decoding that are worth it, by AVX2; a machine without it, and one whose libjpeg has assembly of its
// own, does without.
#pragma once

#if defined(__x86_64__) && !defined(WITH_SIMD)

#include <immintrin.h>

extern "C" {
#include <jdct.h>
#include <jdsample.h>
}

namespace runner_jpeg {

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) inline

// jidctint.c: constants of 13 bits; the first pass keeps 2 bits more.
constexpr int CONST_BITS = 13, PASS1_BITS = 2;

AVX2_INLINE __m256i times(__m256i a, int constant) { return _mm256_mullo_epi32(a, _mm256_set1_epi32(constant)); }
AVX2_INLINE __m256i plus(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
AVX2_INLINE __m256i minus(__m256i a, __m256i b) { return _mm256_sub_epi32(a, b); }

// One pass over eight columns at once: the even and the odd part of Loeffler, Ligtenberg and Moschytz.
template <int SHIFT>
AVX2_INLINE void pass(__m256i r[8]) {
    const __m256i z1 = times(plus(r[2], r[6]), 4433);
    const __m256i even2 = plus(z1, times(r[6], -15137)), even3 = plus(z1, times(r[2], 6270));
    const __m256i even0 = _mm256_slli_epi32(plus(r[0], r[4]), CONST_BITS);
    const __m256i even1 = _mm256_slli_epi32(minus(r[0], r[4]), CONST_BITS);
    const __m256i half = _mm256_set1_epi32(1 << (SHIFT - 1));
    const __m256i t10 = plus(plus(even0, even3), half), t13 = plus(minus(even0, even3), half);
    const __m256i t11 = plus(plus(even1, even2), half), t12 = plus(minus(even1, even2), half);

    const __m256i y7 = r[7], y5 = r[5], y3 = r[3], y1 = r[1];
    const __m256i z5 = times(plus(plus(y7, y3), plus(y5, y1)), 9633);
    const __m256i a = times(plus(y7, y1), -7373), b = times(plus(y5, y3), -20995);
    const __m256i c = plus(times(plus(y7, y3), -16069), z5), d = plus(times(plus(y5, y1), -3196), z5);
    const __m256i t0 = plus(times(y7, 2446), plus(a, c)), t1 = plus(times(y5, 16819), plus(b, d));
    const __m256i t2 = plus(times(y3, 25172), plus(b, c)), t3 = plus(times(y1, 12299), plus(a, d));

    r[0] = _mm256_srai_epi32(plus(t10, t3), SHIFT);
    r[7] = _mm256_srai_epi32(minus(t10, t3), SHIFT);
    r[1] = _mm256_srai_epi32(plus(t11, t2), SHIFT);
    r[6] = _mm256_srai_epi32(minus(t11, t2), SHIFT);
    r[2] = _mm256_srai_epi32(plus(t12, t1), SHIFT);
    r[5] = _mm256_srai_epi32(minus(t12, t1), SHIFT);
    r[3] = _mm256_srai_epi32(plus(t13, t0), SHIFT);
    r[4] = _mm256_srai_epi32(minus(t13, t0), SHIFT);
}

AVX2_INLINE void transpose(__m256i r[8]) {
    __m256i a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

// jpeg_idct_islow.
AVX2 void inverse_dct(j_decompress_ptr, jpeg_component_info *component, JCOEFPTR block, JSAMPARRAY output,
                      JDIMENSION column) {
    const auto *quantizers = reinterpret_cast<const ISLOW_MULT_TYPE *>(component->dct_table);
    __m128i coefficients[8], rest = _mm_setzero_si128();
    for (int i = 0; i < 8; i++) {
        coefficients[i] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(block + 8 * i));
        rest = _mm_or_si128(rest, i == 0 ? _mm_srli_si128(coefficients[0], 2) : coefficients[i]);
    }
    if (_mm_testz_si128(rest, rest)) {
        // One value: both passes only scale it.
        const int value = (block[0] * quantizers[0] * (1 << PASS1_BITS) + (1 << (PASS1_BITS + 2))) >> (PASS1_BITS + 3);
        const int level = value + CENTERJSAMPLE;
        const int byte = level < 0 ? 0 : level > MAXJSAMPLE ? MAXJSAMPLE : level;
        for (int i = 0; i < 8; i++) __builtin_memset(output[i] + column, byte, 8);
        return;
    }
    __m256i r[8];
    for (int i = 0; i < 8; i++) {
        const __m256i quantizer = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(quantizers + 8 * i));
        r[i] = _mm256_mullo_epi32(_mm256_cvtepi16_epi32(coefficients[i]), quantizer);
    }
    pass<CONST_BITS - PASS1_BITS>(r);
    transpose(r);
    pass<CONST_BITS + PASS1_BITS + 3>(r);
    transpose(r);
    const __m256i center = _mm256_set1_epi32(CENTERJSAMPLE);
    for (int i = 0; i < 8; i++) r[i] = plus(r[i], center);
    for (int i = 0; i < 8; i += 4) {
        const __m256i bytes =
            _mm256_packus_epi16(_mm256_packs_epi32(r[i], r[i + 1]), _mm256_packs_epi32(r[i + 2], r[i + 3]));
        const __m128i left = _mm256_castsi256_si128(bytes), right = _mm256_extracti128_si256(bytes, 1);
        const __m128i one = _mm_unpacklo_epi32(left, right), two = _mm_unpackhi_epi32(left, right);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(output[i] + column), one);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(output[i + 1] + column), _mm_unpackhi_epi64(one, one));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(output[i + 2] + column), two);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(output[i + 3] + column), _mm_unpackhi_epi64(two, two));
    }
}

// Sums of `near * 3 + far` become twice as many values: a quarter of the farther sum, three of the nearer.
// `sums` has a value more at either end. `LOW` and `HIGH` round the left and the right value of a pair.
template <int SHIFT, int LOW, int HIGH>
AVX2_INLINE void spread(const uint16_t *sums, JSAMPROW out, int count) {
    for (int i = 0; i < count; i++) {
        const int here = 3 * sums[i + 1];
        out[2 * i] = static_cast<JSAMPLE>((here + sums[i] + LOW) >> SHIFT);
        out[2 * i + 1] = static_cast<JSAMPLE>((here + sums[i + 2] + HIGH) >> SHIFT);
    }
}

// Columns that are done at a time.
constexpr int CHUNK = 512;

// One row of the two upsamplings: `sum(i)` is the value of an input column.
template <int SHIFT, int LOW, int HIGH, typename Sum>
AVX2_INLINE void upsample_row(int width, JSAMPROW out, Sum sum) {
    uint16_t sums[CHUNK + 2];
    for (int from = 0; from < width; from += CHUNK) {
        const int count = width - from < CHUNK ? width - from : CHUNK;
        // The outermost values stand for those that lie outside.
        sums[0] = sum(from > 0 ? from - 1 : 0);
        for (int i = 0; i < count; i++) sums[i + 1] = sum(from + i);
        sums[count + 1] = sum(from + count < width ? from + count : width - 1);
        spread<SHIFT, LOW, HIGH>(sums, out + 2 * from, count);
    }
}

struct Values {
    const JSAMPLE *values;
    AVX2_INLINE uint16_t operator()(int i) const { return values[i]; }
};

struct ColumnSums {
    const JSAMPLE *near, *far;
    AVX2_INLINE uint16_t operator()(int i) const { return static_cast<uint16_t>(3 * near[i] + far[i]); }
};

// h2v1_fancy_upsample.
AVX2 void upsample_h2v1(j_decompress_ptr info, jpeg_component_info *component, JSAMPARRAY input, JSAMPARRAY *output) {
    for (int row = 0; row < info->max_v_samp_factor; row++) {
        upsample_row<2, 1, 2>(static_cast<int>(component->downsampled_width), (*output)[row], Values{input[row]});
    }
}

// h2v2_fancy_upsample.
AVX2 void upsample_h2v2(j_decompress_ptr info, jpeg_component_info *component, JSAMPARRAY input, JSAMPARRAY *output) {
    for (int row = 0; row < info->max_v_samp_factor; row++) {
        const JSAMPLE *near = input[row / 2], *far = input[row % 2 == 0 ? row / 2 - 1 : row / 2 + 1];
        upsample_row<4, 8, 7>(static_cast<int>(component->downsampled_width), (*output)[row], ColumnSums{near, far});
    }
}

// Sixteen pixels' red, green and blue as 48 bytes one after the other.
AVX2_INLINE void store_rgb(JSAMPROW out, __m128i r, __m128i g, __m128i b) {
    const __m128i r0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m128i g0 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m128i b0 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i r1 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m128i g1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m128i b1 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m128i r2 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m128i g2 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m128i b2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    auto *to = reinterpret_cast<__m128i *>(out);
    _mm_storeu_si128(to, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r0), _mm_shuffle_epi8(g, g0)), _mm_shuffle_epi8(b, b0)));
    _mm_storeu_si128(to + 1, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r1), _mm_shuffle_epi8(g, g1)), _mm_shuffle_epi8(b, b1)));
    _mm_storeu_si128(to + 2, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r2), _mm_shuffle_epi8(g, g2)), _mm_shuffle_epi8(b, b2)));
}

// `(pairs * constants + half) >> 16`, eight pixels.
AVX2_INLINE __m256i product(__m256i pairs, int blue, int red) {
    const __m256i constants = _mm256_set1_epi32((red << 16) | (blue & 0xFFFF));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_madd_epi16(pairs, constants), _mm256_set1_epi32(1 << 15)), 16);
}

// Sixteen bytes as values of 16 bits, and back.
AVX2_INLINE __m256i widened(const JSAMPLE *at) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(at)));
}
AVX2_INLINE __m128i bytes(__m256i values) {
    return _mm_packus_epi16(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
}

// ycc_rgb_convert: R = y + 1.402 cr, G = y - 0.34414 cb - 0.71414 cr, B = y + 1.772 cb, in 16 bits of fraction.
// Constants beyond 16 bits are split into whole parts and the rest.
AVX2 void to_rgb(j_decompress_ptr info, JSAMPIMAGE input, JDIMENSION row, JSAMPARRAY output, int rows) {
    const int width = static_cast<int>(info->output_width);
    for (int n = 0; n < rows; n++, row++) {
        const JSAMPLE *ys = input[0][row], *cbs = input[1][row], *crs = input[2][row];
        JSAMPROW out = output[n];
        int x = 0;
        for (; x + 16 <= width; x += 16) {
            const __m256i center = _mm256_set1_epi16(CENTERJSAMPLE);
            const __m256i y = widened(ys + x);
            const __m256i cb = _mm256_sub_epi16(widened(cbs + x), center), cr = _mm256_sub_epi16(widened(crs + x), center);
            const __m256i low = _mm256_unpacklo_epi16(cb, cr), high = _mm256_unpackhi_epi16(cb, cr);
            const __m256i r = _mm256_packs_epi32(product(low, 0, 26345), product(high, 0, 26345));
            const __m256i g = _mm256_packs_epi32(product(low, -22554, 18734), product(high, -22554, 18734));
            const __m256i b = _mm256_packs_epi32(product(low, -14942, 0), product(high, -14942, 0));
            const __m256i red = _mm256_add_epi16(_mm256_add_epi16(y, cr), r);
            const __m256i green = _mm256_add_epi16(_mm256_sub_epi16(y, cr), g);
            const __m256i blue = _mm256_add_epi16(_mm256_add_epi16(y, _mm256_add_epi16(cb, cb)), b);
            store_rgb(out + 3 * x, bytes(red), bytes(green), bytes(blue));
        }
        for (; x < width; x++) {
            const int y = ys[x], cb = cbs[x] - CENTERJSAMPLE, cr = crs[x] - CENTERJSAMPLE;
            const int values[3] = {y + ((91881 * cr + 32768) >> 16), y + ((-22554 * cb - 46802 * cr + 32768) >> 16),
                                   y + ((116130 * cb + 32768) >> 16)};
            for (int c = 0; c < 3; c++) {
                out[3 * x + c] = static_cast<JSAMPLE>(values[c] < 0 ? 0 : values[c] > MAXJSAMPLE ? MAXJSAMPLE : values[c]);
            }
        }
    }
}

}  // namespace runner_jpeg

// Puts the steps in place; after jpeg_start_decompress and jpeg_crop_scanline.
inline void runner_jpeg_accelerate(j_decompress_ptr info) {
    if (!__builtin_cpu_supports("avx2")) return;
    auto *upsampler = reinterpret_cast<my_upsample_ptr>(info->upsample);
    const bool fancy = info->do_fancy_upsampling && info->min_DCT_scaled_size > 1;
    for (int i = 0; i < info->num_components; i++) {
        jpeg_component_info *component = info->comp_info + i;
        if (!component->component_needed) continue;
        if (component->DCT_scaled_size == DCTSIZE && info->dct_method == JDCT_ISLOW) {
            info->idct->inverse_DCT[i] = runner_jpeg::inverse_dct;
        }
        const int across = component->h_samp_factor * component->DCT_scaled_size / info->min_DCT_scaled_size;
        const int down = component->v_samp_factor * component->DCT_scaled_size / info->min_DCT_scaled_size;
        if (!fancy || component->downsampled_width <= 2 || across * 2 != info->max_h_samp_factor) continue;
        if (down == info->max_v_samp_factor) upsampler->methods[i] = runner_jpeg::upsample_h2v1;
        if (down * 2 == info->max_v_samp_factor) upsampler->methods[i] = runner_jpeg::upsample_h2v2;
    }
    if (info->jpeg_color_space == JCS_YCbCr && info->out_color_space == JCS_RGB && info->num_components == 3) {
        info->cconvert->color_convert = runner_jpeg::to_rgb;
    }
}

#else

inline void runner_jpeg_accelerate(j_decompress_ptr) {}

#endif
