//! The places of the rate window, and the health credential that has its own.

use super::*;

#[test]
fn a_lost_or_malformed_rate_state_lets_nothing_pass() {
    let (verdict, rate) = Sent::good().judged(None, 0);
    assert_eq!(verdict.expect_err("refused").reason, Reason::RateStateUnavailable);
    assert_eq!(rate, None);
    let future = RateState { owner: RateWindow::with_past(5, 10, [99]), ..fresh() };
    let (verdict, _) = Sent::good().judged(Some(future), 0);
    assert_eq!(verdict.expect_err("refused").reason, Reason::RateStateUnavailable);
}

#[test]
fn missing_wrong_and_right_tokens_use_the_same_places() {
    let mut rate = Some(RateState::new(3, 60_000));
    let senders = [
        Sent::good(),
        Sent::good().without("authorization"),
        Sent::good().replaced("authorization", "Bearer wrong"),
    ];
    for sent in &senders {
        rate = sent.judged(rate, 10).1;
    }
    for sent in &senders {
        let (verdict, after) = sent.judged(rate, 20);
        let wanted = Refusal { retry_after_s: Some(60), ..Reason::RateLimited.into() };
        assert_eq!(verdict.expect_err("full"), wanted);
        rate = after;
    }
    assert!(Sent::good().judged(rate, 60_010).0.is_ok(), "the window slides");
}

#[test]
fn a_cross_site_flood_leaves_the_owners_budget() {
    let mut rate = Some(RateState::new(2, 60_000));
    let flood = [
        Sent::good().with("origin", "https://evil.example"),
        Sent::good().with("sec-fetch-site", "cross-site"),
        Sent::good().replaced("host", "evil.example"),
        Sent::good().method("OPTIONS"),
    ];
    for now in 0..1000 {
        for sent in &flood {
            rate = sent.judged(rate, now).1;
        }
    }
    assert_eq!(rate.as_ref().expect("kept").owner.held(), 0);
    assert!(Sent::good().judged(rate, 1000).0.is_ok());
}

fn probe() -> Sent {
    let mut sent = Sent::good().replaced("authorization", &format!("Bearer {HEALTH}"));
    sent.path = "/health".to_owned();
    sent
}

#[test]
fn the_health_credential_passes_on_its_own_route_only() {
    let (verdict, _) = probe().judged(Some(fresh()), 0);
    assert_eq!(verdict.expect("passes").caller(), Caller::Health);
    let (verdict, _) = probe().judged_by(Some(fresh()), 0, None);
    assert_eq!(verdict.expect("without a token configured too").caller(), Caller::Health);
    assert_eq!(probe().method("POST").reason(), Reason::InvalidToken);
    for path in ["/v1/models", "/health/", "/metrics", "/companion/v1/status", "/HEALTH"] {
        let mut sent = probe();
        sent.path = path.to_owned();
        assert_eq!(sent.reason(), Reason::InvalidToken, "{path}");
    }
    for (name, value, reason) in [
        ("host", "evil.example", Reason::HostNotAllowed),
        ("origin", "https://evil.example", Reason::CrossSiteForbidden),
    ] {
        assert_eq!(probe().replaced(name, value).reason(), reason);
    }
}

#[test]
fn health_probes_and_the_owner_do_not_use_each_others_places() {
    let full = |limit, window| RateWindow::with_past(limit, window, vec![0; limit as usize]);
    let owner_full = RateState { owner: full(600, 60_000), ..fresh() };
    assert!(probe().judged(Some(owner_full.clone()), 1).0.is_ok());
    assert!(Sent::good().judged(Some(owner_full), 1).0.is_err());
    let health = full(HEALTH_RATE_REQUESTS, HEALTH_RATE_WINDOW_MS);
    let health_full = RateState { health, ..fresh() };
    let (verdict, _) = probe().judged(Some(health_full.clone()), 1);
    assert_eq!(verdict.expect_err("full").reason, Reason::RateLimited);
    assert!(Sent::good().judged(Some(health_full), 1).0.is_ok());
}

#[test]
fn guessing_the_health_credential_uses_the_owners_places() {
    let guess = probe().replaced("authorization", "Bearer guess");
    let (_, rate) = guess.judged(Some(fresh()), 0);
    let rate = rate.expect("kept");
    assert_eq!((rate.owner.held(), rate.health.held()), (1, 0));
}
