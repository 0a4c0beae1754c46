//! Builds the plugins of this workspace as WebAssembly components and leaves them in `OUT_DIR`.
//!
//! They are built by a cargo of their own in `<target directory>/guests`: the outer cargo holds the
//! lock of its own directory while this runs.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for at run time: a target directory that clones share may have this compiled in another one.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo does not run this")?;
    let workspace = Path::new(&package).join("../..").canonicalize()?;
    for path in ["Cargo.lock", "Cargo.toml", "plugins", "sdk", "wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    if !target_is_installed()? {
        println!("cargo::error=plugins need the target {TARGET}: rustup target add {TARGET}");
        return Ok(());
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let guests = guest_directory(&out)?;
    std::fs::create_dir_all(&guests)?;
    // Both versions of the bridge have one file name: what is built must be copied before another
    // build script, of another profile, builds the other one.
    let lock = File::create(guests.join(".copying"))?;
    lock.lock()?;
    build(&workspace, &guests, &["-p", "bridge", "--features", "bridge/next"])?;
    copy(&guests, "bridge", &out.join("bridge-next.wasm"))?;
    let packages: Vec<&str> = PLUGINS.iter().flat_map(|plugin| ["-p", *plugin]).collect();
    build(&workspace, &guests, &packages)?;
    for plugin in PLUGINS {
        copy(&guests, plugin, &out.join(plugin).with_extension("wasm"))?;
    }
    Ok(())
}

fn target_is_installed() -> Result<bool, Box<dyn Error>> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let directory = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(directory.trim()).is_dir())
}

/// `OUT_DIR` is `<target directory>/<profile>/build/<package>/out`.
fn guest_directory(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is not where cargo puts it")?;
    Ok(target.join("guests"))
}

fn build(workspace: &Path, guests: &Path, what: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args(["build", "--profile", PROFILE, "--target", TARGET]);
    cargo.arg("--target-dir").arg(guests).args(what);
    for variable in OUTER_VARIABLES {
        cargo.env_remove(variable);
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(())
}

fn copy(guests: &Path, plugin: &str, to: &Path) -> Result<(), Box<dyn Error>> {
    let from = guests.join(TARGET).join(PROFILE).join(plugin).with_extension("wasm");
    std::fs::copy(&from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(())
}

const PLUGINS: [&str; 4] = ["bridge", "collector", "distributor", "signal"];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

/// What the outer build says about the machine's own code: flags and targets that are wrong for
/// WebAssembly, and clippy in place of the compiler.
const OUTER_VARIABLES: [&str; 6] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];
