use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::{Catalog, Details, HostName, UntrustedTarget, allowed_source, judge};
use crate::Reason;

const SHA256: [u8; 32] = [0xab; 32];

fn host(text: &str) -> HostName {
    HostName::of_pair(text).unwrap()
}

fn model() -> Value {
    json!({"kind": "model", "id": "smollm2", "urls": ["https://models.example.com/m.gguf"],
           "license": "Apache-2.0", "context_length": 8192, "architecture": "llama",
           "quantization": "Q4_1", "later": {"unknown": true}})
}

fn runtime(id: &str, version: &str) -> Value {
    json!({"kind": "runtime", "id": id, "urls": ["https://models.example.com/llama-server"],
           "license": "MIT", "os": "linux", "arch": "x86_64", "version": version})
}

fn judged(customs: &[Value]) -> Result<Catalog, Reason> {
    let targets = customs.iter().enumerate().map(|(n, custom)| {
        let sha256: &'static [u8] = Box::leak(Box::new([u8::try_from(n).unwrap(); 32]));
        UntrustedTarget { name: "target", length: 10, sha256, custom: custom.clone() }
    });
    judge(targets, Some(&host("gateway.example.com:443")), &[host("models.example.com:443")])
}

fn is_untrusted(custom: Value) -> bool {
    judged(&[custom]).err() == Some(Reason::ManifestUntrusted)
}

#[test]
fn a_model_and_a_runtime_become_entries() {
    let catalog = judged(&[model(), runtime("llama-server", "b11434")]).unwrap();
    let entry = catalog.get("smollm2").unwrap();
    assert!(entry.is_model() && !entry.suits("linux", "x86_64"));
    assert_eq!(entry.sha256, "00".repeat(32));
    assert_eq!(entry.size_bytes, 10);
    assert!(matches!(entry.details, Details::Model { context_length: 8192, .. }));
    let entry = catalog.get("llama-server").unwrap();
    assert!(!entry.is_model() && entry.suits("linux", "x86_64") && !entry.suits("linux", "arm"));
    assert_eq!(entry.version(), "b11434");
    assert_eq!(catalog.get("none").err(), Some(Reason::UnknownArtifact));
    assert_eq!(catalog.entries().count(), 2);
}

#[test]
fn a_runtime_is_a_program_or_an_archive_and_in_another_format_it_is_no_entry() {
    let listed = |format: Value| {
        let mut custom = runtime("llama-server", "b1");
        custom["format"] = format;
        judged(&[custom]).map(|catalog| {
            catalog.get("llama-server").ok().map(|entry| match entry.details {
                Details::Runtime { is_archive, .. } => is_archive,
                Details::Model { .. } => panic!("a model"),
            })
        })
    };
    assert_eq!(listed(Value::Null), Ok(Some(false)));
    assert_eq!(listed(json!("tar.gz")), Ok(Some(true)));
    assert_eq!(listed(json!("zip")), Ok(None));
    assert_eq!(listed(json!(7)), Err(Reason::ManifestUntrusted));
}

/// Contract 8: the one exception, a catalog that its owner signs on this disk.
#[test]
fn only_a_catalog_of_this_disk_lists_bytes_that_lie_beside_it() {
    let listed = |name: &'static str, urls: Option<Value>, catalog: Option<&HostName>| {
        let mut custom = model();
        custom.as_object_mut().unwrap().remove("urls");
        if let Some(urls) = urls {
            custom["urls"] = urls;
        }
        let target = UntrustedTarget { name, length: 10, sha256: &SHA256, custom };
        judge([target], catalog, &[host("models.example.com:443")])
            .map(|catalog| catalog.get("smollm2").unwrap().clone())
    };
    let untrusted = Some(Reason::ManifestUntrusted);
    let beside = listed("m.gguf", None, None).unwrap();
    assert_eq!((beside.import, beside.urls.len()), (format!("{}.m.gguf", "ab".repeat(32)), 0));
    assert!(!listed("m.gguf", Some(json!([])), None).unwrap().import.is_empty());
    let elsewhere = listed("m.gguf", Some(json!(["https://models.example.com/m"])), None).unwrap();
    assert_eq!((elsewhere.import.as_str(), elsewhere.urls.len()), ("", 1));
    for name in ["", "..", "../m", "a/b", ".m", "a b"] {
        assert_eq!(listed(name, None, None).err(), untrusted, "{name}");
    }
    assert_eq!(listed("m.gguf", None, Some(&host("g.test:443"))).err(), untrusted);
    for url in ["file:///home/ana/m.gguf", "m.gguf"] {
        assert_eq!(listed("m.gguf", Some(json!([url])), None).err(), untrusted, "{url}");
    }
}

#[test]
fn a_target_of_a_later_kind_is_passed_over() {
    let catalog = judged(&[json!({"kind": "voice", "id": 7}), json!({}), model()]).unwrap();
    assert_eq!(catalog.entries().count(), 1);
}

#[test]
fn each_member_of_an_entry_is_required_in_its_form() {
    for (member, values) in [
        (
            "id",
            vec![
                json!(""),
                json!("../x"),
                json!(".x"),
                json!("a b"),
                json!("a\u{1b}[2J"),
                json!(1),
            ],
        ),
        (
            "urls",
            vec![
                json!([]),
                json!("https://models.example.com/x"),
                json!([1]),
                json!(["x"]),
                json!(["data:,x"]),
                json!(vec!["https://models.example.com/"; 17]),
            ],
        ),
        ("license", vec![json!(""), json!("\n"), json!("x".repeat(129))]),
        ("context_length", vec![json!(-1), json!("8192")]),
        ("architecture", vec![json!("\u{1b}[2J"), json!(null)]),
        ("quantization", vec![json!(""), json!([])]),
    ] {
        for value in values {
            let mut custom = model();
            custom[member] = value.clone();
            assert!(is_untrusted(custom), "{member}: {value}");
        }
        let mut lacking = model();
        lacking.as_object_mut().unwrap().remove(member);
        assert!(is_untrusted(lacking), "{member}");
    }
    for member in ["os", "arch", "version"] {
        let mut lacking = runtime("r", "1");
        lacking.as_object_mut().unwrap().remove(member);
        assert!(is_untrusted(lacking), "{member}");
    }
}

#[test]
fn a_digest_has_32_bytes_and_a_file_at_least_one() {
    for (length, sha256) in [(0, &SHA256[..]), (1, &SHA256[..31]), (1, &[])] {
        let target = UntrustedTarget { name: "target", length, sha256, custom: model() };
        let refused = judge([target], Some(&host("g.test:443")), &[]);
        assert_eq!(refused.err(), Some(Reason::ManifestUntrusted));
    }
}

#[test]
fn an_id_that_comes_twice_spoils_the_catalog() {
    assert_eq!(judged(&[model(), model()]).err(), Some(Reason::ManifestUntrusted));
}

#[test]
fn bytes_on_the_catalog_s_own_host_are_untrusted_however_it_is_written() {
    for url in [
        "https://gateway.example.com/m.gguf",
        "https://GATEWAY.example.com/m.gguf",
        "https://gateway.example.com./m.gguf",
        "https://gateway.example.com:8443/m.gguf",
        "http://gateway.example.com/m.gguf",
        "https://user@gateway.example.com/m.gguf",
        "other://GATEWAY.example.com/m.gguf",
    ] {
        let mut custom = model();
        custom["urls"] = json!(["https://models.example.com/m.gguf", url]);
        assert!(is_untrusted(custom), "{url}");
    }
}

#[test]
fn a_catalog_on_an_allowed_source_is_untrusted() {
    let on_models =
        judge([], Some(&host("models.example.com:443")), &[host("MODELS.example.com.:1")]);
    assert_eq!(on_models.err(), Some(Reason::ManifestUntrusted));
    let address = judge([], Some(&host("127.0.0.1:443")), &[host("[::ffff:127.0.0.1]:1")]);
    assert_eq!(address.err(), Some(Reason::ManifestUntrusted));
}

#[test]
fn the_newest_provisioned_runtime_for_the_machine_is_chosen() {
    let mut foreign = runtime("foreign", "b99999");
    foreign["arch"] = json!("aarch64");
    let catalog =
        judged(&[runtime("old", "b9999"), runtime("new", "b11434"), foreign, model()]).unwrap();
    let digest = |n: u8| hex::encode([n; 32]);
    let newest = |provisioned: &[String]| {
        catalog.newest_runtime("linux", "x86_64", provisioned).map(|entry| entry.id.clone())
    };
    assert_eq!(newest(&[digest(0), digest(1), digest(2), digest(3)]).as_deref(), Ok("new"));
    assert_eq!(newest(&[digest(0)]).as_deref(), Ok("old"));
    assert_eq!(newest(&[digest(2), digest(3)]), Err(Reason::NotProvisioned));
    assert_eq!(newest(&[]), Err(Reason::NotProvisioned));
}

#[test]
fn an_allowed_source_is_a_prefix_with_its_port() {
    for (pair, source) in [
        ("models.example.com:443", "https://models.example.com:443/"),
        ("MODELS.example.com.:8443", "https://models.example.com:8443/"),
        ("[::1]:9000", "https://[::1]:9000/"),
    ] {
        assert_eq!(allowed_source(pair).as_deref(), Ok(source));
    }
    for pair in ["", "a/b:1", "u@a:1", "a:1?x", "a:99999", "a b:1", "a:1#f"] {
        assert_eq!(allowed_source(pair).err(), Some(Reason::ManifestUntrusted), "{pair}");
    }
}

proptest! {
    #[test]
    fn no_custom_object_makes_the_judgement_panic(kind in "model|runtime|x", text in "\\PC{0,40}") {
        let _ = judged(&[json!({"kind": kind, "id": text, "urls": [text], "license": text,
            "os": text, "arch": text, "version": text})]);
    }

    #[test]
    fn case_dot_and_port_never_hide_the_catalog_s_host(
        name in "[a-z]{1,8}\\.[a-z]{2,3}", flips in any::<u32>(), dot in any::<bool>(), port in 1_u16..,
    ) {
        let written: String = name.chars().enumerate()
            .map(|(n, c)| if flips >> (n % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let url = Url::parse(&format!("https://{written}{}:{port}/x", if dot { "." } else { "" }));
        prop_assert_eq!(HostName::of_url(&url.unwrap()), Some(host(&format!("{name}:443"))));
    }
}
