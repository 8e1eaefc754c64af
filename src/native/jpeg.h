// Decoding JPEG files: what jpeg.rs calls.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct RunnerJpeg;

// What a file's header says. `channels` is what is decoded to: 1 gray, 3 RGB, 4 CMYK as the file holds it.
struct RunnerJpegHeader {
    uint32_t width;
    uint32_t height;
    uint32_t channels;
};

// Which part of the picture is wanted, in pixels of the size at `eighths` of the whole.
struct RunnerJpegWindow {
    uint32_t eighths;
    uint32_t left;
    uint32_t top;
    uint32_t width;
    uint32_t height;
};

// Room for an error message.
constexpr size_t RUNNER_JPEG_MESSAGE = 200;

// Reads the header. Null with a message when there is none. `bytes` must outlive the decoder.
RunnerJpeg *runner_jpeg_open(const uint8_t *bytes, size_t length, RunnerJpegHeader *header, char *message);

// Decodes a window into `out` (rows of interleaved channels); a decoder decodes once. 0 when it is done, 1 when the
// file ended too early, 2 with a message when it is broken.
int runner_jpeg_decode(RunnerJpeg *decoder, const RunnerJpegWindow *window, uint8_t *out, char *message);

void runner_jpeg_close(RunnerJpeg *decoder);

}
