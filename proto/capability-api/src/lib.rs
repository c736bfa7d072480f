//! Generated types of `companion.capability.v1`, with the descriptor set for reflection.

/// The messages and services of `companion.capability.v1`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated from capability.proto, which carries the documentation"
)]
pub mod v1 {
    tonic::include_proto!("companion.capability.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection and for tests that read the surface.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
