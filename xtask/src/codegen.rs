//! Rust code of `.proto` files: protox compiles them, tonic-prost-build writes the code.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// A folder of `.proto` files, and where the code of each of its packages is committed.
struct Protocol {
    protos: &'static str,
    files: &'static [&'static str],
    generated: &'static str,
}

const PROTOCOLS: &[Protocol] = &[
    Protocol {
        protos: "tests/proto",
        files: &["echo.proto", "interop.proto"],
        generated: "tests/src/generated",
    },
    Protocol {
        protos: "examples/proto",
        files: &["greeter.proto"],
        generated: "examples/proto/generated",
    },
];

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    for protocol in PROTOCOLS {
        let generated = root().join(protocol.generated);
        fs::create_dir_all(&generated)?;
        generate(protocol, &generated)?;
    }
    Ok(())
}

pub(crate) fn check() -> Result<(), Box<dyn Error>> {
    let mut stale = Vec::new();
    for protocol in PROTOCOLS {
        let fresh = env::temp_dir().join(format!("xtask-codegen-{}", std::process::id()));
        fs::create_dir_all(&fresh)?;
        generate(protocol, &fresh)?;
        for entry in fs::read_dir(&fresh)? {
            let entry = entry?;
            let committed = root().join(protocol.generated).join(entry.file_name());
            if fs::read(entry.path())? != fs::read(&committed).unwrap_or_default() {
                stale.push(committed.display().to_string());
            }
        }
        fs::remove_dir_all(&fresh)?;
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not what `cargo run -p xtask -- codegen` would write: {}",
        stale.join(", ")
    )
    .into())
}

fn generate(protocol: &Protocol, into: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(protocol.files, [root().join(protocol.protos)])?;
    tonic_prost_build::configure()
        .out_dir(into)
        .compile_fds(descriptors)?;
    Ok(())
}

/// The root of the repository: this package is a folder in it.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
