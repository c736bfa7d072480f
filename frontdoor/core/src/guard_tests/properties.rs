//! Whatever arrives.

use proptest::prelude::*;

use super::*;

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("host"),
        Just("Host"),
        Just("origin"),
        Just("sec-fetch-site"),
        Just("authorization"),
        Just("x-companion-token"),
        Just("upgrade"),
        Just("x-other"),
    ];
    let value = prop_oneof![
        Just(b"127.0.0.1:4711".to_vec()),
        Just(b"http://localhost:4711".to_vec()),
        Just(b"same-origin".to_vec()),
        Just(b"cross-site".to_vec()),
        Just(format!("Bearer {TOKEN}").into_bytes()),
        Just(TOKEN.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    /// Whatever arrives: no panic, bounded timestamps, and nothing passes without every condition.
    #[test]
    fn nothing_passes_without_every_condition(
        method in prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS"), Just("get")],
        is_http_11: bool, has_body: bool,
        from_good: bool,
        headers in prop::collection::vec(header(), 0..4),
        path in prop_oneof![Just("/health".to_owned()), "/[a-z]{0,5}"],
        past in prop::collection::vec(0u64..100, 0..5), now in 0u64..200,
    ) {
        let mut sent = if from_good { Sent::good() } else { Sent::good().without("host") };
        sent.headers.extend(headers);
        let sent = Sent { method, path, is_http_11, has_body, ..sent };
        let rate = RateState { owner: RateWindow::with_past(3, 50, past.clone()), ..fresh() };
        let (verdict, after) = sent.judged(Some(rate), now);
        prop_assert!(after.expect("kept").owner.held() <= past.len().max(3));
        if verdict.is_ok() {
            let all = |name: &str| sent.headers.iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone()).collect::<Vec<_>>();
            prop_assert!(is_http_11 && matches!(method, "GET" | "POST"));
            prop_assert_eq!(all("host"), vec![b"127.0.0.1:4711".to_vec()]);
            prop_assert!(all("upgrade").is_empty());
            prop_assert!(matches!(all("origin").as_slice(), [] | [_]));
            prop_assert!(all("origin").iter().all(|o| o == b"http://localhost:4711"));
            prop_assert!(all("sec-fetch-site").iter().all(|s| s == b"same-origin" || s == b"none"));
            let bearer = all("authorization") == [format!("Bearer {TOKEN}").into_bytes()];
            let own = all("x-companion-token") == [TOKEN.as_bytes().to_vec()];
            prop_assert!(bearer || own);
        }
    }
}
