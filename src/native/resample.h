// The two passes of a resize with Pillow's weights: what resample.rs calls.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// For each output position the first input, the number of inputs, and `stride` weights of 22 bits of fraction, those
// beyond the number being 0.
struct RunnerWeights {
    const uint32_t *first;
    const uint32_t *count;
    const int32_t *weights;
    size_t stride;
    size_t positions;
};

// Whether this machine has what the two need.
bool runner_resample_available(void);

// What `line` has room for beside a row.
constexpr size_t RUNNER_RESAMPLE_ROOM = 32;

// Resizes rows of `width` pixels of three bytes. `line` has room for a row and RUNNER_RESAMPLE_ROOM bytes.
void runner_resample_rows(const uint8_t *source, size_t width, size_t rows, const RunnerWeights *weights, uint8_t *line,
                          uint8_t *out);

// Resizes columns of an image whose rows have `stride` bytes.
void runner_resample_columns(const uint8_t *source, size_t stride, const RunnerWeights *weights, uint8_t *out);

}
