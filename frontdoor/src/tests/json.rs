//! Strict JSON (contract 4).

use super::*;
use proptest::prelude::*;

const MALFORMED: Result<(), Refusal> = Err(Refusal {
    reason: Reason::MalformedBody,
    retry_after_s: None,
    queue_position: None,
    field: None,
});

/// The reason is `field_not_allowed`, and this is the field.
fn refused(body: &[u8]) -> Option<&'static str> {
    check(body).err().filter(|it| it.reason == Reason::FieldNotAllowed).and_then(|it| it.field)
}

#[test]
fn ordinary_requests_of_the_known_clients_pass() {
    for body in [
        r#"{}"#,
        r#" { "model" : "m" , "messages":[{"role":"user","content":"Grüße \ud83d\ude00 \n"}], "stream":true}"#,
        r#"{"prompt":"x","max_tokens":16,"temperature":0.5,"stop":["\n"],"seed":-1,"logit_bias":null}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}"#,
        r#"{"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"url":{"type":"string","default":"http://x"}}}}}}"#,
        r#"{"messages":[{"role":"user","content":"see http://example.com and file:///etc/passwd"}]}"#,
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"url":"https://example.com","image_url":"https://x","id_slot":1}}]}]}"#,
        r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"source":{"url":"http://x"}}}}}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"DATA:text/plain,see http://x"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"ht+/tp+AAAA//8=","format":"wav"}}]}]}"#,
        r#"{"input":[{"type":"function_call","arguments":{"image_url":"https://x"}}]}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"parameters":{"source":{"url":"file:x"}}}]}]}"#,
        r#"{"input":[{"role":"user","content":"x"}]}"#,
        r#"{"input":"http://as-text.example"}"#,
    ] {
        assert_eq!(check(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn what_two_parsers_could_read_in_two_ways_is_malformed() {
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"[]",
        b"1",
        b"\"x\"",
        b"null",
        b"true",
        b"{",
        b"[[",
        b"{} trailing",
        b"{}{}",
        b"{},",
        b"\xef\xbb\xbf{}",
        br#"{"a":1,"a":2}"#,
        br#"{"a":1,"\u0061":2}"#,
        br#"{"x":{"y":[{"a":1,"b":2,"a":1}]}}"#,
        br#"{"a":1,}"#,
        br#"{"a":[1,]}"#,
        br#"{a:1}"#,
        br#"{'a':1}"#,
        br#"{"a":01}"#,
        br#"{"a":+1}"#,
        br#"{"a":.5}"#,
        br#"{"a":1e999}"#,
        br#"{"a":NaN}"#,
        br#"{"a":Infinity}"#,
        br#"{"a":"\ud800"}"#,
        br#"{"a":"\udc00\ud800"}"#,
        br#"{"a":"\x41"}"#,
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"\xff\":1}",
        br#"{"a":1 /* b */}"#,
        b"{\"a\":1}\0",
        b"{\"prompt\":\"\x00",
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(check(body), MALFORMED, "{shown}");
    }
}

#[test]
fn depth_64_passes_and_65_does_not() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    assert_eq!(check(nested(64).as_bytes()), Ok(()));
    assert_eq!(check(nested(65).as_bytes()), MALFORMED);
    assert_eq!(check(nested(100_000).as_bytes()), MALFORMED);
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(check(objects(64).as_bytes()), Ok(()));
    assert_eq!(check(objects(65).as_bytes()), MALFORMED);
}

#[test]
fn every_member_on_the_list_is_refused_at_the_top_and_only_there() {
    for (name, _) in REFUSED {
        let top = format!("{{\"prompt\":\"x\",\"{name}\":0}}");
        assert_eq!(refused(top.as_bytes()), Some(*name), "{name}");
        let within = format!("{{\"metadata\":{{\"{name}\":0}}}}");
        assert_eq!(check(within.as_bytes()), Ok(()), "{name}");
    }
    let escaped = br#"{"id\u005fslot":0}"#;
    assert_eq!(refused(escaped), Some("id_slot"));
    let escaped = br#"{"m\u0065ssages":[{"image\u005furl":{"\u0075rl":"http://x"}}]}"#;
    assert_eq!(refused(escaped), Some("image_url"));
}

#[test]
fn media_that_the_server_would_fetch_or_read_is_refused() {
    for url in [
        "http://x/y",
        "https://x",
        "HTTPS://x",
        "file:///etc/passwd",
        "FILE:x",
        "httpx",
        r"\u0068ttp:\/\/x",
        " http://x",
        r"\t\n\u0000file:x",
        r"\u00a0http://x",
        "ftp://x",
        "Gopher://x",
        "view-source+a.1://x",
    ] {
        for (field, part) in [
            ("image_url", format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#)),
            ("image_url", format!(r#"{{"type":"input_image","image_url":"{url}"}}"#)),
            ("video_url", format!(r#"{{"type":"video_url","video_url":{{"url":"{url}"}}}}"#)),
            (
                "input_audio",
                format!(
                    r#"{{"type":"input_audio","input_audio":{{"data":"{url}","format":"wav"}}}}"#
                ),
            ),
            ("audio_url", format!(r#"{{"type":"audio_url","audio_url":{{"url":"{url}"}}}}"#)),
            (
                "input_video",
                format!(r#"{{"type":"input_video","input_video":{{"data":"{url}"}}}}"#),
            ),
            ("source", format!(r#"{{"type":"image","source":{{"type":"url","url":"{url}"}}}}"#)),
            (
                "source",
                format!(
                    r#"{{"type":"tool_result","content":[{{"type":"image","source":{{"url":"{url}"}}}}]}}"#
                ),
            ),
        ] {
            for whole in [
                format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#),
                format!(r#"{{"input":[{{"role":"user","content":[{part}]}}]}}"#),
            ] {
                assert_eq!(refused(whole.as_bytes()), Some(field), "{whole}");
            }
        }
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
    }

    #[test]
    fn whatever_passes_is_read_by_another_parser_as_one_object(
        text in r#"\{("[a-c]{1,2}":("[a-z\\"]{0,4}"|[0-9.e-]{1,4}|\[\]|\{\}|null),?){0,4}\}?"#
    ) {
        if check(text.as_bytes()).is_ok() {
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert!(value.is_object());
        }
    }
}
