use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use authority_core::Reason;
use authority_core::custody::Account;
use authority_core::rpc::Rpc;
use authority_core::session::{SessionMeta, Standing};
use http::{Request, Response};
use serde_json::json;
use tokio::time::Instant;

use super::Sessions;
use crate::clock;
use crate::keychain::memory::MemoryStore;
use crate::testing::{Gateway, json};

/// A keychain with a session of this gateway that ends in `seconds`.
pub(super) fn signed_in(gateway: &Gateway, seconds: u64) -> (MemoryStore, Arc<Sessions>) {
    let store = MemoryStore::default();
    let meta = SessionMeta {
        issuer: gateway.issuer(),
        client_id: "c-1".to_owned(),
        token_endpoint: gateway.url("/token").into(),
        revocation_endpoint: Some(gateway.url("/revoke").into()),
        scopes: vec!["vault:read".to_owned()],
        expires_at: clock::now() + seconds,
    };
    store.put(Account::AccessToken, "a1");
    store.put(Account::RefreshToken, "r1");
    store.put(Account::SessionMeta, &serde_json::to_string(&meta).unwrap());
    store.put(Account::LoopbackToken, "kept");
    let sessions = Sessions::new(&gateway.issuer(), store.keychain(), gateway.https());
    (store, sessions)
}

fn renewed() -> Response<Vec<u8>> {
    json(
        200,
        &json!({"token_type": "Bearer", "access_token": "a2", "expires_in": 3600,
                "refresh_token": "r2"}),
    )
}

pub(super) fn text(token: Result<authority_core::Secret, Reason>) -> Result<String, Reason> {
    token.map(|token| token.expose_text().unwrap().to_owned())
}

#[tokio::test]
async fn a_valid_token_is_used_without_asking() {
    let gateway = Gateway::start(|_| panic!("asked"));
    let (_, sessions) = signed_in(&gateway, 3600);
    assert_eq!(text(sessions.access_token().await).as_deref(), Ok("a1"));
    let overview = sessions.overview().await.unwrap();
    assert_eq!(overview.standing, Standing::Valid);
    assert_eq!(overview.scopes, ["vault:read"]);
    assert_eq!(gateway.requests(), 0);
}

#[tokio::test]
async fn many_callers_refresh_once_and_the_rotated_token_is_stored_first() {
    let gateway = Gateway::start(|_| renewed());
    let (store, sessions) = signed_in(&gateway, 10);
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Refresh);
    let all = futures_util::future::join_all((0..16).map(|_| sessions.access_token())).await;
    assert!(all.into_iter().all(|token| text(token).as_deref() == Ok("a2")));
    assert_eq!(gateway.requests(), 1);
    let (record, access) = (Account::SessionMeta, Account::AccessToken);
    assert_eq!(store.writes(), [Account::RefreshToken, record, access, record]);
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r2"));
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Valid);
}

#[tokio::test]
async fn an_answer_without_a_new_refresh_token_keeps_the_old_one() {
    let gateway = Gateway::start(|_| {
        json(200, &json!({"token_type": "Bearer", "access_token": "a2", "expires_in": 60}))
    });
    let (store, sessions) = signed_in(&gateway, 0);
    sessions.access_token().await.unwrap();
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r1"));
}

#[tokio::test]
async fn invalid_grant_clears_the_session_and_nothing_else() {
    let gateway = Gateway::start(|_| json(400, &json!({"error": "invalid_grant"})));
    let (store, sessions) = signed_in(&gateway, 0);
    assert_eq!(sessions.access_token().await.err(), Some(Reason::NotSignedIn));
    for account in Account::OF_SESSION {
        assert_eq!(store.text(account), None);
    }
    assert!(store.text(Account::LoopbackToken).is_some());
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::SignedOut);
}

#[tokio::test]
async fn a_server_fault_keeps_the_session_and_is_not_asked_again_at_once() {
    let gateway = Gateway::start(|_| json(503, &json!({"error": "invalid_grant"})));
    let (store, sessions) = signed_in(&gateway, 0);
    for _ in 0..3 {
        assert_eq!(sessions.access_token().await.err(), Some(Reason::TokenExchangeFailed));
    }
    assert_eq!(gateway.requests(), 1);
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r1"));
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Refresh);
}

/// The clock that is set forward is the monotonic one: nothing else is waited for.
#[tokio::test]
async fn after_each_fault_the_server_is_asked_again_later_and_when_it_is_back_the_session_is() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let gateway = Gateway::start(move |_| match is_down.load(Ordering::SeqCst) {
        true => json(503, &json!({})),
        false => renewed(),
    });
    let (_, sessions) = signed_in(&gateway, 0);
    for (fault, longest) in [1_000, 2_000, 4_000].into_iter().enumerate() {
        assert_eq!(sessions.access_token().await.err(), Some(Reason::TokenExchangeFailed));
        assert_eq!(gateway.requests(), fault + 1);
        later(longest / 2 - 50).await;
        assert_eq!(sessions.access_token().await.err(), Some(Reason::TokenExchangeFailed));
        assert_eq!(gateway.requests(), fault + 1, "asked too soon");
        later(longest / 2 + 50).await;
    }
    down.store(false, Ordering::SeqCst);
    assert_eq!(text(sessions.access_token().await).as_deref(), Ok("a2"));
}

async fn later(milliseconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(milliseconds)).await;
    tokio::time::resume();
}

/// Many companions that lost one gateway at one time do not come back to it at one time.
#[tokio::test]
async fn how_long_is_waited_after_a_fault_differs_from_one_session_to_the_next() {
    let gateway = Gateway::start(|_| json(503, &json!({})));
    let mut waits = Vec::new();
    for _ in 0..16 {
        let (_, sessions) = signed_in(&gateway, 0);
        let before = Instant::now();
        sessions.access_token().await.unwrap_err();
        let until = sessions.changing.lock().await.not_before.unwrap();
        waits.push(until - before);
    }
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(500), "{waits:?}");
    assert!(*most - *least > Duration::from_millis(100), "{waits:?}");
}

#[tokio::test]
async fn a_token_that_a_server_refused_is_renewed_though_it_seems_valid() {
    let gateway = Gateway::start(|_| renewed());
    let (_, sessions) = signed_in(&gateway, 3600);
    let refused = sessions.access_token().await.unwrap();
    assert_eq!(text(sessions.access_token_after(&refused).await).as_deref(), Ok("a2"));
    assert_eq!(text(sessions.access_token_after(&refused).await).as_deref(), Ok("a2"));
    assert_eq!(gateway.requests(), 1);
}

#[tokio::test]
async fn a_locked_keychain_authorises_nothing() {
    let gateway = Gateway::start(|_| panic!("asked"));
    let (store, sessions) = signed_in(&gateway, 3600);
    for refusal in [Reason::KeychainLocked, Reason::KeychainUnavailable] {
        store.refuse(Some(refusal));
        assert_eq!(sessions.access_token().await.err(), Some(refusal));
        assert_eq!(sessions.overview().await.err(), Some(refusal));
        assert_eq!(sessions.admit(Rpc::Pull, false).await.err(), Some(refusal));
        assert_eq!(sessions.sign_out().await.err(), Some(refusal));
    }
}

#[tokio::test]
async fn tokens_renewed_while_the_keychain_locks_are_not_lost_and_not_used_before_they_are_stored()
{
    let store_to_lock: Arc<Mutex<Option<MemoryStore>>> = Arc::default();
    let locked = Arc::clone(&store_to_lock);
    let gateway = Gateway::start(move |_| {
        locked.lock().unwrap().as_ref().unwrap().refuse(Some(Reason::KeychainLocked));
        renewed()
    });
    let (store, sessions) = signed_in(&gateway, 0);
    *store_to_lock.lock().unwrap() = Some(store.clone());
    assert_eq!(sessions.access_token().await.err(), Some(Reason::KeychainLocked));
    store.refuse(None);
    assert_eq!(text(sessions.access_token().await).as_deref(), Ok("a2"));
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r2"));
    assert_eq!(gateway.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_in_the_middle_does_not_lose_the_rotated_token() {
    let (asked, is_asked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let gateway = Gateway::start(move |_| {
        asked.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        renewed()
    });
    let (store, sessions) = signed_in(&gateway, 0);
    let caller = tokio::spawn({
        let sessions = Arc::clone(&sessions);
        async move { sessions.access_token().await }
    });
    tokio::task::spawn_blocking(move || is_asked.recv()).await.unwrap().unwrap();
    caller.abort();
    assert!(caller.await.is_err());
    release.send(()).unwrap();
    assert_eq!(text(sessions.access_token().await).as_deref(), Ok("a2"));
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r2"));
    assert_eq!(gateway.requests(), 1);
}

#[tokio::test]
async fn sign_out_revokes_both_tokens_and_clears_all_three_accounts() {
    for (status, confirmed) in [(200, true), (503, false)] {
        let hints: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&hints);
        let gateway = Gateway::start(move |request: Request<Vec<u8>>| {
            assert_eq!(request.uri().path(), "/revoke");
            let form = url::form_urlencoded::parse(request.body()).into_owned();
            let hint = form.into_iter().find(|(name, _)| name == "token_type_hint").unwrap().1;
            seen.lock().unwrap().push(hint);
            json(status, &json!({}))
        });
        let (store, sessions) = signed_in(&gateway, 3600);
        assert_eq!(sessions.sign_out().await, Ok(confirmed));
        assert_eq!(*hints.lock().unwrap(), ["refresh_token", "access_token"]);
        for account in Account::OF_SESSION {
            assert_eq!(store.text(account), None);
        }
        assert_eq!(store.text(Account::LoopbackToken).as_deref(), Some("kept"));
        assert_eq!(sessions.sign_out().await, Ok(false));
    }
}

#[tokio::test]
async fn where_nothing_can_be_deleted_a_session_is_renewed_and_ended_all_the_same() {
    let gateway = Gateway::start(|request| match request.uri().path() {
        "/token" => renewed(),
        _ => json(200, &json!({})),
    });
    let (store, sessions) = signed_in(&gateway, 0);
    store.keep_everything();
    assert_eq!(text(sessions.access_token().await).as_deref(), Ok("a2"));
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Valid);
    assert_eq!(sessions.sign_out().await, Err(Reason::KeychainLocked));
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Reauth);
    assert_eq!(sessions.access_token().await.err(), Some(Reason::NotSignedIn));
}

#[tokio::test]
async fn a_damaged_or_foreign_record_is_no_session_and_sends_no_token_anywhere() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let gateway = Gateway::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        renewed()
    });
    let (store, sessions) = signed_in(&gateway, 0);
    let right = store.text(Account::SessionMeta).unwrap();
    let elsewhere = right.replace("/token\"", "@evil.test/token\"");
    for record in ["{}", "not json", &elsewhere, &right.replace("/native", "/other")] {
        store.put(Account::SessionMeta, record);
        assert_eq!(sessions.overview().await.unwrap().standing, Standing::Reauth, "{record}");
        assert_eq!(sessions.access_token().await.err(), Some(Reason::NotSignedIn));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_damaged_token_is_no_token_and_goes_nowhere() {
    let gateway = Gateway::start(|_| renewed());
    for damaged in ["a\u{0}1", "a 1", "\u{fe0f}", "a1\r\nx: y"] {
        let (store, sessions) = signed_in(&gateway, 3600);
        store.put(Account::AccessToken, damaged);
        assert_eq!(sessions.overview().await.unwrap().standing, Standing::Refresh, "{damaged:?}");
        store.put(Account::RefreshToken, damaged);
        assert_eq!(sessions.overview().await.unwrap().standing, Standing::Reauth, "{damaged:?}");
        assert_eq!(sessions.access_token().await.err(), Some(Reason::NotSignedIn));
    }
    assert_eq!(gateway.requests(), 0);
}

#[tokio::test]
async fn without_an_issuer_there_is_no_session() {
    let gateway = Gateway::start(|_| panic!("asked"));
    let (store, _) = signed_in(&gateway, 3600);
    let sessions = Sessions::new("", store.keychain(), gateway.https());
    assert_eq!(sessions.issuer().err(), Some(Reason::AccountNotConfigured));
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::SignedOut);
    assert_eq!(sessions.access_token().await.err(), Some(Reason::NotSignedIn));
}
