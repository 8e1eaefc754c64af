// The memory of tensors on the CPU: what memory.rs calls.
#pragma once

extern "C" {

// From now on big blocks that tensors give back are kept for the next ones that want them.
void runner_keep_memory();

}
