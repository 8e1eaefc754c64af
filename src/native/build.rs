//! Builds the C++ and tells the linker where libtorch is.
//!
//! Where libtorch lies is decided by torch-sys (LIBTORCH, LIBTORCH_USE_PYTORCH, …; in a checkout `.cargo/config.toml`
//! sets LIBTORCH to what `scripts/libtorch` fetches). Cargo hands that on as `DEP_TCH_LIBTORCH_LIB`, but only to direct
//! dependents, which is why Cargo.toml names torch-sys beside tch.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch lies"));
    // A LIBTORCH that was given relative to the checkout must still be found from anywhere.
    let lib = lib.canonicalize().unwrap_or_else(|error| {
        panic!(
            "libtorch is expected in {}, but: {error}\n\
             run scripts/libtorch, or set LIBTORCH to an unpacked libtorch 2.11.0, or LIBTORCH_USE_PYTORCH=1",
            lib.display()
        )
    });
    build_shim(&lib);
    build_pictures();
    write_link_arguments(&lib);
}

fn build_shim(lib: &Path) {
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    for file in ["build.rs", "shim.h", "shim.cpp", "memory.h", "memory.cpp"] {
        println!("cargo::rerun-if-changed=src/native/{file}");
    }
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(|| lib.join(".."), PathBuf::from);
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        // Headers of libtorch are not ours to keep free of warnings; the shim's own are.
        .flag(format!("-isystem{}", root.join("include").display()))
        .warnings_into_errors(true)
        .opt_level(1)
        .files(["src/native/shim.cpp", "src/native/memory.cpp"])
        .compile("runner_shim");
}

/// The inner loops of the image path, always optimized: tests load pictures too. mozjpeg-sys says where its headers lie.
fn build_pictures() {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings_into_errors(true).opt_level(3);
    let headers = env::var_os("DEP_JPEG_INCLUDE").expect("mozjpeg-sys says where the headers of libjpeg lie");
    for folder in env::split_paths(&headers) {
        build.flag(format!("-isystem{}", folder.display()));
    }
    for file in ["jpeg.h", "jpeg_avx2.h", "jpeg_huffman.h", "jpeg.cpp", "resample.h", "resample.cpp"] {
        println!("cargo::rerun-if-changed=src/native/{file}");
    }
    build.file("src/native/jpeg.cpp").file("src/native/resample.cpp").compile("runner_pictures");
}

/// Binaries and tests find libtorch with no environment variable, from anywhere.
///
/// The path is a RUNPATH, so LD_LIBRARY_PATH goes before it: on a machine with a GPU the same binary runs on a torch
/// with CUDA by `LD_LIBRARY_PATH=…/torch/lib`.
///
/// These arguments reach this package only. A crate that depends on runner finds the folder and the argument as
/// `DEP_RUNNER_LIBTORCH_LIB` and `DEP_RUNNER_LINK_ARG`, and its whole build script is
///
/// ```ignore
/// fn main() {
///     println!("cargo::rustc-link-arg={}", std::env::var("DEP_RUNNER_LINK_ARG").unwrap());
/// }
/// ```
fn write_link_arguments(lib: &Path) {
    let lib = lib.to_str().filter(|lib| !lib.contains([',', '\n'])).unwrap_or_else(|| {
        panic!("libtorch lies in {}, a path that no linker takes: it holds a comma or is not UTF-8", lib.display())
    });
    let find = format!("-Wl,-rpath,{lib},--enable-new-dtags");
    // rustc links with --as-needed, and no symbol asks for libtorch.so, whose only work is to bring in the CUDA
    // libraries, where there are any. Tests are about the CPU; LD_PRELOAD=…/torch/lib/libtorch_cuda.so gives them the GPU.
    let load = format!("-Wl,--push-state,--no-as-needed,{lib}/libtorch.so,--pop-state");
    // The front uses nothing of libtorch, but its objects do: generic code is shared between modules, so that nearly
    // all of them are drawn in, and tch's with them. What is not called is collected, except inline C++ functions that
    // libtorch has as well, which the linker would export for it and keep. Hidden, they go too, and libtorch with them.
    println!("cargo::rustc-link-arg-bin=runner=-Wl,--exclude-libs,ALL");
    println!("cargo::rustc-link-arg-bin=runner-engine={load}");
    println!("cargo::rustc-link-arg={find}");
    println!("cargo::metadata=LIBTORCH_LIB={lib}");
    println!("cargo::metadata=LINK_ARG={find}{}", load.trim_start_matches("-Wl"));
}
