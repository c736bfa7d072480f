//! What the APIs can carry, read from their descriptors (architecture 3, promise 2).

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Words that name a credential in a field or message.
const CREDENTIAL_WORDS: [&str; 9] =
    ["token", "secret", "password", "jwt", "bearer", "credential", "verifier", "cookie", "nonce"];

/// The two fields that may: the loopback token for `companionctl`, its digest for the front door.
const ALLOWED: [&str; 2] = ["LoopbackToken.loopback_token", "TokenDigest.token_digest"];

#[test]
fn no_message_carries_a_token_but_the_loopback_token_and_its_digest() {
    let mut carrying = Vec::new();
    for set in [
        authority_api::FILE_DESCRIPTOR_SET,
        runtime_api::FILE_DESCRIPTOR_SET,
        frontdoor_api::FILE_DESCRIPTOR_SET,
        capability_api::FILE_DESCRIPTOR_SET,
    ] {
        let set = FileDescriptorSet::decode(set).expect("a descriptor set");
        for file in &set.file {
            for message in &file.message_type {
                collect(message, &mut carrying);
            }
        }
    }
    carrying.sort();
    assert_eq!(carrying, ALLOWED);
}

#[test]
fn only_the_loopback_token_rpc_answers_with_a_token() {
    let set = FileDescriptorSet::decode(authority_api::FILE_DESCRIPTOR_SET).expect("a set");
    let answering: Vec<_> = set
        .file
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
        .filter(|method| method.output_type().ends_with("LoopbackToken"))
        .map(|method| method.name().to_owned())
        .collect();
    assert_eq!(answering, ["GetLoopbackToken"]);
}

fn collect(message: &DescriptorProto, carrying: &mut Vec<String>) {
    for field in &message.field {
        let name = field.name().to_ascii_lowercase();
        if CREDENTIAL_WORDS.iter().any(|word| name.contains(word)) {
            carrying.push(format!("{}.{}", message.name(), field.name()));
        }
    }
    for nested in &message.nested_type {
        collect(nested, carrying);
    }
}
