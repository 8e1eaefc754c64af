//! The engine: everything, with the built-in components. `runner` starts it; it can be called by itself.

fn main() -> std::process::ExitCode {
    runner::main(runner::registry::Registry::builtin())
}
