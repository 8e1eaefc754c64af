fn main() {
    // Where libtorch is, for the binary to find it without an environment variable.
    println!("cargo::rustc-link-arg={}", std::env::var("DEP_RUNNER_LINK_ARG").expect("runner says how to link"));
}
