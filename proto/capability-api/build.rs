//! Compiles the `.proto` file without `protoc`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../";
    let file = "capability/v1/capability.proto";
    println!("cargo:rerun-if-changed={root}{file}");
    let descriptors = protox::compile([file], [root])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptor.bin"),
        protox::prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
