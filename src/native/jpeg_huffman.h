// The entropy decoding of sequential JPEG files, which takes more than half of the time of a picture: a table of
// twice as many bits as the library's, whose entries hold the coefficient itself where code and value fit, and a
// register that is filled eight bytes at a time. One MCU (the blocks of one step of the scan) is decoded whole or not
// at all: near a marker, near the end of the bytes and between restart markers the library decodes it, from the same
// state, so that both may take turns and what is wrong in a file is handled by the library alone.

#pragma once

#include <cstdint>
#include <cstring>

extern "C" {
#include <jdhuff.h>
}

// The bits of one coefficient, at the top of the 64: what they say, or how to go on.
struct RunnerHuffmanTable {
    static constexpr int LOOK = 11;
    static constexpr int LONGEST = 16;

    // A coefficient that is not 0 (bits 16 to 31), the zeros before it (12 to 15) and how many bits both take (0 to 7).
    // Without a coefficient: the symbol (8 to 15) and the bits of its code, 0 when it is longer than the table looks.
    int32_t entries[1 << LOOK];
    // By length: the codes' upper limit, at the top of 16 bits, and what is added to a code for its symbol's place.
    int32_t limits[LONGEST + 1];
    int32_t offsets[LONGEST + 1];
    // What the table was made of, to find whether it is the one that the next file wants.
    JHUFF_TBL source;

    void make(const JHUFF_TBL &table) {
        source = table;
        std::memset(entries, 0, sizeof entries);
        int code = 0, place = 0;
        for (int length = 1; length <= LONGEST; length++, code <<= 1) {
            offsets[length] = place - code;
            for (int i = 0; i < table.bits[length]; i++, code++, place++) {
                if (length <= LOOK) fill(code, length, table.huffval[place]);
            }
            limits[length] = code << (LONGEST - length);
        }
    }

    // The symbol of a code that is longer than the table looks, and its length; a code that there is not is an end of
    // block of 17 bits, as in the library.
    int find(uint64_t bits, int &length) const {
        const int code = static_cast<int>(bits >> (64 - LONGEST));
        for (length = LOOK + 1; length <= LONGEST; length++) {
            if (code < limits[length]) return source.huffval[((code >> (LONGEST - length)) + offsets[length]) & 0xFF];
        }
        return 0;
    }

    // The value of `size` bits (JPEG, F.2.2.1: EXTEND).
    static int extend(int bits, int size) {
        return bits < (1 << (size - 1)) ? bits - (1 << size) + 1 : bits;
    }

   private:
    void fill(int code, int length, int symbol) {
        const int size = symbol & 15, rest = LOOK - length;
        for (int low = 0; low < 1 << rest; low++) {
            int32_t entry = symbol << 8 | length;
            if (size > 0 && size <= rest) {
                const int value = extend(low >> (rest - size), size);
                entry = static_cast<int32_t>(static_cast<uint32_t>(value) << 16) | (symbol >> 4) << 12 | (length + size);
            }
            entries[code << rest | low] = entry;
        }
    }
};

// What goes with a decoder.
struct RunnerHuffman {
    RunnerHuffmanTable *dc[D_MAX_BLOCKS_IN_MCU];
    RunnerHuffmanTable *ac[D_MAX_BLOCKS_IN_MCU];
    boolean (*library)(j_decompress_ptr, JBLOCKROW *);
};

namespace runner_jpeg {

#define RUNNER_INLINE __attribute__((always_inline)) inline

// The beginning of the library's own state (`huff_entropy_decoder` of jdhuff.c): the bits between two MCUs, and the
// last DC value of each component.
struct EntropyState {
    jpeg_entropy_decoder base;
    bitread_perm_state bits;
    int last_dc[MAX_COMPS_IN_SCAN];
};

// Bits at the top of a register, the next bytes behind them.
struct Bits {
    uint64_t value;
    int count;
    const uint8_t *next;
    bool marker;

    // From less than 57 bits to more than 55, unless a marker is met.
    RUNNER_INLINE void fill() {
        uint64_t bytes;
        std::memcpy(&bytes, next, sizeof bytes);
        if (((~bytes - 0x0101010101010101u) & bytes & 0x8080808080808080u) == 0) [[likely]] {
            const int taken = (63 - count) >> 3;
            // What lies below `count` is read once more next time, and is the same.
            value |= __builtin_bswap64(bytes) >> count;
            next += taken;
            count += taken * 8;
            return;
        }
        *this = filled_by_byte(*this);
    }

    // By value, so that the registers of the quick way stay registers.
    __attribute__((noinline, cold)) static Bits filled_by_byte(Bits bits) {
        bits.read_bytes();
        return bits;
    }

    void read_bytes() {
        value = count == 0 ? 0 : value >> (64 - count) << (64 - count);
        while (count <= 56) {
            const uint64_t byte = *next;
            if (byte == 0xFF && next[1] != 0) {
                marker = true;
                return;
            }
            next += byte == 0xFF ? 2 : 1;
            value |= byte << (56 - count);
            count += 8;
        }
    }

    // Whether a code and its value are there: 16 and 15 bits at most, 17 for a code that there is not.
    RUNNER_INLINE bool enough() {
        if (count >= 32) return true;
        fill();
        return !marker;
    }

    RUNNER_INLINE void drop(int bits) {
        value <<= bits;
        count -= bits;
    }

    RUNNER_INLINE int take(int bits) {
        const int taken = static_cast<int>(value >> (64 - bits));
        drop(bits);
        return taken;
    }
};

// The next coefficient but for its value: the symbol, its code taken.
RUNNER_INLINE int symbol(Bits &bits, const RunnerHuffmanTable &table, int32_t entry) {
    int length = entry & 0xFF, found = entry >> 8 & 0xFF;
    if (length == 0) found = table.find(bits.value, length);
    bits.drop(length);
    return found;
}

// The difference of a block's DC value to the one before.
RUNNER_INLINE int difference(Bits &bits, const RunnerHuffmanTable &table) {
    if (!bits.enough()) return 0;
    const int32_t entry = table.entries[bits.value >> (64 - RunnerHuffmanTable::LOOK)];
    if ((entry >> 16) != 0) {
        bits.drop(entry & 0xFF);
        return entry >> 16;
    }
    // A symbol is a byte; the library looks at DC sizes up to 15.
    const int size = symbol(bits, table, entry) & 15;
    return size == 0 ? 0 : RunnerHuffmanTable::extend(bits.take(size), size);
}

// The AC coefficients of a block.
template <bool KEPT>
RUNNER_INLINE void coefficients(Bits &bits, const RunnerHuffmanTable &table, JCOEF *block) {
    // As many entries of the table as a full register has bits for need no look at how many are left.
    constexpr int AT_ONCE = 56 / RunnerHuffmanTable::LOOK;
    int k = 1;
    while (k < DCTSIZE2) {
        if (bits.count < 56) bits.fill();
        if (bits.marker) [[unlikely]] break;
        int32_t entry = 0;
        int n = 0;
#pragma GCC unroll 8
        for (; n < AT_ONCE; n++) {
            entry = table.entries[bits.value >> (64 - RunnerHuffmanTable::LOOK)];
            if ((entry >> 16) == 0) [[unlikely]] break;
            bits.drop(entry & 0xFF);
            k += entry >> 12 & 15;
            // Behind the 64 places are 16 more for what is wrong in a file; they mean the last one.
            if (KEPT) block[jpeg_natural_order[k]] = static_cast<JCOEF>(entry >> 16);
            if (++k >= DCTSIZE2) return;
        }
        if (n == AT_ONCE) continue;
        if (!bits.enough()) break;
        const int found = symbol(bits, table, entry), size = found & 15;
        if (size == 0) {
            if (found >> 4 != 15) break;
            k += 16;
            continue;
        }
        k += found >> 4;
        const int value = RunnerHuffmanTable::extend(bits.take(size), size);
        if (KEPT) block[jpeg_natural_order[k]] = static_cast<JCOEF>(value);
        k++;
    }
}

inline boolean decode_mcu(j_decompress_ptr info, JBLOCKROW *blocks) {
    auto *huffman = static_cast<RunnerHuffman *>(info->client_data);
    auto *state = reinterpret_cast<EntropyState *>(info->entropy);
    // A block takes 512 bytes at most, stuffed ones included, and a few more are read ahead.
    const size_t room = static_cast<size_t>(info->blocks_in_MCU) * DCTSIZE2 * 8 + 32;
    if (info->src->bytes_in_buffer < room || info->unread_marker != 0 || state->base.insufficient_data) {
        return huffman->library(info, blocks);
    }
    const int left = state->bits.bits_left;
    Bits bits{left == 0 ? 0 : static_cast<uint64_t>(state->bits.get_buffer) << (64 - left), left,
              info->src->next_input_byte, false};
    int last_dc[MAX_COMPS_IN_SCAN];
    std::memcpy(last_dc, state->last_dc, sizeof last_dc);
    for (int i = 0; i < info->blocks_in_MCU; i++) {
        JCOEF *block = blocks == nullptr ? nullptr : *blocks[i];
        // The sum wraps around in files that are wrong, as it does in the library.
        int &dc = last_dc[info->MCU_membership[i]];
        dc = static_cast<int>(static_cast<unsigned>(dc) + static_cast<unsigned>(difference(bits, *huffman->dc[i])));
        if (block != nullptr) {
            (*block) = static_cast<JCOEF>(dc);
            coefficients<true>(bits, *huffman->ac[i], block);
        } else {
            coefficients<false>(bits, *huffman->ac[i], nullptr);
        }
        if (bits.marker) return huffman->library(info, blocks);
    }
    info->src->bytes_in_buffer -= static_cast<size_t>(bits.next - info->src->next_input_byte);
    info->src->next_input_byte = bits.next;
    std::memcpy(state->last_dc, last_dc, sizeof last_dc);
    state->bits.get_buffer = bits.count == 0 ? 0 : bits.value >> (64 - bits.count);
    state->bits.bits_left = bits.count;
    return TRUE;
}

// A table of this thread that was made of the same one, or is made now. Most files have the same few tables, and a
// picture keeps its tables until the next is begun.
inline RunnerHuffmanTable *table_of(const JHUFF_TBL &wanted, int place) {
    static thread_local RunnerHuffmanTable tables[2 * NUM_HUFF_TBLS];
    RunnerHuffmanTable &table = tables[place];
    const bool same = std::memcmp(table.source.bits, wanted.bits, sizeof wanted.bits) == 0 &&
                      std::memcmp(table.source.huffval, wanted.huffval, sizeof wanted.huffval) == 0;
    if (!same) table.make(wanted);
    return &table;
}

}  // namespace runner_jpeg

// Puts the decoder in place where it is of use; after jpeg_start_decompress. `huffman` lives as long as `info`.
inline void runner_jpeg_read_quickly(j_decompress_ptr info, RunnerHuffman *huffman) {
    const bool simple = !info->progressive_mode && !info->arith_code && info->restart_interval == 0 &&
                        !info->inputctl->has_multiple_scans && info->data_precision == 8 && sizeof(JCOEF) == 2 &&
                        sizeof(bit_buf_type) == 8 && info->min_DCT_scaled_size > 1 &&
                        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    if (!simple) return;
    for (int i = 0; i < info->blocks_in_MCU; i++) {
        const jpeg_component_info *component = info->cur_comp_info[info->MCU_membership[i]];
        if (!component->component_needed) return;
        const JHUFF_TBL *dc = info->dc_huff_tbl_ptrs[component->dc_tbl_no], *ac = info->ac_huff_tbl_ptrs[component->ac_tbl_no];
        if (dc == nullptr || ac == nullptr) return;
        huffman->dc[i] = runner_jpeg::table_of(*dc, component->dc_tbl_no);
        huffman->ac[i] = runner_jpeg::table_of(*ac, NUM_HUFF_TBLS + component->ac_tbl_no);
    }
    huffman->library = info->entropy->decode_mcu;
    info->client_data = huffman;
    info->entropy->decode_mcu = runner_jpeg::decode_mcu;
}
