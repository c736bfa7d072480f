//! What the APIs can carry, read from their descriptors (architecture 3, promise 2).

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Words that name a credential in a field or message.
const CREDENTIAL_WORDS: [&str; 9] =
    ["token", "secret", "password", "jwt", "bearer", "credential", "verifier", "cookie", "nonce"];

/// The two fields that may: the loopback token for `companionctl`, its digest for the front door.
const ALLOWED: [&str; 2] = ["LoopbackToken.loopback_token", "TokenDigest.token_digest"];

/// Every text of every answer of the broker: a new one is looked at before it is written here.
const TEXTS: [&str; 19] = [
    "Authorize.url",
    "CatalogEntry.arch",
    "CatalogEntry.architecture",
    "CatalogEntry.id",
    "CatalogEntry.license",
    "CatalogEntry.os",
    "CatalogEntry.quantization",
    "CatalogEntry.version",
    "Expected.hosts",
    "Expected.id",
    "Failed.reason",
    "LoopbackToken.loopback_token",
    "Progress.id",
    "Ready.id",
    "Session.keychain_backend",
    "Session.keychain_reason",
    "Session.scopes",
    "Starting.id",
    "Verified.id",
];

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

/// A credential is a text, or bytes, whatever its field is called.
#[test]
fn the_broker_answers_with_no_text_but_those_that_are_known() {
    let set = FileDescriptorSet::decode(authority_api::FILE_DESCRIPTOR_SET).expect("a set");
    let messages: BTreeMap<_, _> = set
        .file
        .iter()
        .flat_map(|file| {
            file.message_type.iter().map(|it| (format!(".{}.{}", file.package(), it.name()), it))
        })
        .collect();
    assert!(messages.values().all(|it| it.nested_type.is_empty()), "a message within another");
    let services = set.file.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    let mut ahead: Vec<_> = methods.map(|method| method.output_type().to_owned()).collect();
    assert_eq!(ahead.len(), 10);
    let (mut seen, mut texts) = (BTreeSet::new(), BTreeSet::new());
    while let Some(name) = ahead.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let message = messages[&name];
        for field in &message.field {
            match field.r#type() {
                Type::Message => ahead.push(field.type_name().to_owned()),
                Type::String | Type::Bytes | Type::Group => {
                    texts.insert(format!("{}.{}", message.name(), field.name()));
                }
                _ => {}
            }
        }
    }
    assert_eq!(texts.iter().map(String::as_str).collect::<Vec<_>>(), TEXTS);
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
