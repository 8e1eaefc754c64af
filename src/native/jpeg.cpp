// JPEG files by libjpeg-turbo's decoder (as mozjpeg has it), with a quicker entropy decoder, and with the three steps
// that take the most time after it done by AVX2 where the library was built without its own assembly (which needs NASM):
// the inverse DCT, the smooth upsampling of colour, and the conversion to RGB. Their results are those of the library's
// C code, bit for bit. A part of a picture is decoded without transforming the rest.

#include "jpeg.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>

extern "C" {
#define JPEG_INTERNALS
#include <jpeglib.h>
#include <jerror.h>
}

#include "jpeg_avx2.h"
#include "jpeg_huffman.h"

namespace {

struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf back;
    char *message;
};

struct Source {
    jpeg_source_mgr base;
    // Whether more was asked for than there is.
    bool ended;
};

[[noreturn]] void fail(j_common_ptr info) {
    auto *errors = reinterpret_cast<Errors *>(info->err);
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    std::snprintf(errors->message, RUNNER_JPEG_MESSAGE, "%s", text);
    std::longjmp(errors->back, 1);
}

void ignore(j_common_ptr, int) {}
void print_nothing(j_common_ptr) {}
void start_source(j_decompress_ptr) {}

// The library goes on with an end of image; what is missing would be gray.
boolean end_of_file(j_decompress_ptr info) {
    static const JOCTET end[2] = {0xFF, JPEG_EOI};
    reinterpret_cast<Source *>(info->src)->ended = true;
    info->src->next_input_byte = end;
    info->src->bytes_in_buffer = 2;
    return TRUE;
}

void skip(j_decompress_ptr info, long count) {
    if (count <= 0) return;
    if (static_cast<size_t>(count) > info->src->bytes_in_buffer) {
        end_of_file(info);
        return;
    }
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= static_cast<size_t>(count);
}

// Whether nothing can be missing: the mark of the end stands at the end.
bool is_whole(const uint8_t *bytes, size_t length) {
    return length >= 2 && bytes[length - 2] == 0xFF && bytes[length - 1] == JPEG_EOI;
}

}  // namespace

struct RunnerJpeg {
    jpeg_decompress_struct info;
    Errors errors;
    Source source;
    RunnerHuffman huffman;
    bool whole;
};

RunnerJpeg *runner_jpeg_open(const uint8_t *bytes, size_t length, RunnerJpegHeader *header, char *message) {
    auto *decoder = new (std::nothrow) RunnerJpeg();
    if (decoder == nullptr) {
        std::snprintf(message, RUNNER_JPEG_MESSAGE, "no memory");
        return nullptr;
    }
    auto &info = decoder->info;
    info.err = jpeg_std_error(&decoder->errors.base);
    info.err->error_exit = fail;
    info.err->emit_message = ignore;
    info.err->output_message = print_nothing;
    decoder->errors.message = message;
    if (setjmp(decoder->errors.back)) {
        runner_jpeg_close(decoder);
        return nullptr;
    }
    jpeg_create_decompress(&info);
    decoder->source.base.init_source = start_source;
    decoder->source.base.fill_input_buffer = end_of_file;
    decoder->source.base.skip_input_data = skip;
    decoder->source.base.resync_to_restart = jpeg_resync_to_restart;
    decoder->source.base.term_source = start_source;
    decoder->source.base.next_input_byte = bytes;
    decoder->source.base.bytes_in_buffer = length;
    decoder->whole = is_whole(bytes, length);
    info.src = &decoder->source.base;
    jpeg_read_header(&info, TRUE);
    switch (info.jpeg_color_space) {
        case JCS_GRAYSCALE: info.out_color_space = JCS_GRAYSCALE; header->channels = 1; break;
        case JCS_CMYK:
        case JCS_YCCK: info.out_color_space = JCS_CMYK; header->channels = 4; break;
        default: info.out_color_space = JCS_RGB; header->channels = 3;
    }
    header->width = info.image_width;
    header->height = info.image_height;
    return decoder;
}

// Reads the rows of a window; the picture has been started.
static void read_window(j_decompress_ptr info, const RunnerJpegWindow &window, bool whole, uint8_t *out) {
    // Smooth upsampling looks at the neighbours, so a few pixels more are decoded on each side.
    const JDIMENSION margin = 32;
    const JDIMENSION right = window.left + window.width, bottom = window.top + window.height;
    JDIMENSION from = window.left > margin ? window.left - margin : 0;
    JDIMENSION across = (right + margin < info->output_width ? right + margin : info->output_width) - from;
    const JDIMENSION rows = info->output_height;
    if (across < info->output_width) jpeg_crop_scanline(info, &from, &across);
    runner_jpeg_accelerate(info);
    const JDIMENSION above = window.top > margin ? window.top - margin : 0;
    if (above > 0) jpeg_skip_scanlines(info, above);
    const size_t pixel = static_cast<size_t>(info->output_components);
    const size_t stride = pixel * window.width, offset = pixel * (window.left - from);
    const bool direct = offset == 0 && across == window.width;
    JSAMPARRAY line = (*info->mem->alloc_sarray)(reinterpret_cast<j_common_ptr>(info), JPOOL_IMAGE,
                                                 static_cast<JDIMENSION>(pixel * across), 1);
    while (info->output_scanline < bottom) {
        const bool wanted = info->output_scanline >= window.top;
        JSAMPROW row = direct && wanted ? out : line[0];
        if (jpeg_read_scanlines(info, &row, 1) != 1) break;
        if (!wanted) continue;
        if (!direct) std::memcpy(out, row + offset, stride);
        out += stride;
    }
    // Whether the file is whole must not depend on which part of it is wanted.
    // Skipping up to the end would read nothing: the last row is read.
    if (!whole && info->output_scanline + 1 < rows) jpeg_skip_scanlines(info, rows - 1 - info->output_scanline);
    while (!whole && info->output_scanline < rows) {
        if (jpeg_read_scanlines(info, line, 1) != 1) break;
    }
}

int runner_jpeg_decode(RunnerJpeg *decoder, const RunnerJpegWindow *window, uint8_t *out, char *message) {
    auto &info = decoder->info;
    decoder->errors.message = message;
    if (setjmp(decoder->errors.back)) return decoder->source.ended ? 1 : 2;
    info.scale_num = window->eighths;
    info.scale_denom = 8;
    jpeg_start_decompress(&info);
    runner_jpeg_read_quickly(&info, &decoder->huffman);
    if (window->width == 0 || window->left + window->width > info.output_width ||
        window->top + window->height > info.output_height) {
        std::snprintf(message, RUNNER_JPEG_MESSAGE, "the window is outside of the picture");
        return 2;
    }
    read_window(&info, *window, decoder->whole, out);
    return decoder->source.ended ? 1 : 0;
}

void runner_jpeg_close(RunnerJpeg *decoder) {
    jpeg_destroy_decompress(&decoder->info);
    delete decoder;
}
