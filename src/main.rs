//! The front: composes, explains and lists without libtorch; starts the engine for the rest.

fn main() -> std::process::ExitCode {
    runner::cli::front()
}
