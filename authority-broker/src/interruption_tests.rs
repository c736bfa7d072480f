//! A broker that is killed between any two changes of the keychain leaves no session that claims
//! more than it has (contract 6).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use authority_core::custody::Account;
use authority_core::session::Standing;
use http::{Request, Response};
use serde_json::json;

use super::tests::{signed_in, text};
use super::{Sessions, Tokens};
use crate::testing::{Gateway, json};

/// Changes that a refresh, a sign-in and a clearing make, with room to see that they end.
const CHANGES: usize = 6;

/// An authorization server that rotates, and ends the session at a token that was used before.
fn rotating(lifetime: u64) -> Gateway {
    let live: Mutex<Option<u32>> = Mutex::new(Some(1));
    Gateway::start(move |request: Request<Vec<u8>>| -> Response<Vec<u8>> {
        if request.uri().path() == "/revoke" {
            return json(200, &json!({}));
        }
        let mut live = live.lock().unwrap();
        let form: Vec<(String, String)> =
            url::form_urlencoded::parse(request.body()).into_owned().collect();
        let presented = &form.iter().find(|(name, _)| name == "refresh_token").unwrap().1;
        let Some(number) = live.filter(|number| *presented == format!("r{number}")) else {
            *live = None;
            return json(400, &json!({"error": "invalid_grant"}));
        };
        *live = Some(number + 1);
        json(
            200,
            &json!({"token_type": "Bearer", "access_token": format!("a{}", number + 1),
                    "expires_in": lifetime, "refresh_token": format!("r{}", number + 1)}),
        )
    })
}

#[tokio::test]
async fn a_refresh_killed_between_any_two_changes_leaves_valid_refresh_or_reauth() {
    let mut seen = HashSet::new();
    // A token about to end, and one that a server refused long before its end.
    for (seconds, rejected) in [(0, false), (1_000_000, true)] {
        for changes in 0..CHANGES {
            let gateway = rotating(60);
            let (store, sessions) = signed_in(&gateway, seconds);
            let before = sessions.overview().await.unwrap().expires_at;
            store.die_after(Some(changes));
            let got = if rejected {
                sessions.access_token_after(&sessions.access_token().await.unwrap()).await
            } else {
                sessions.access_token().await
            };
            assert_eq!(got.is_ok(), changes >= 4, "{changes}");
            store.die_after(None);

            let restarted = Sessions::new(&gateway.issuer(), store.keychain(), gateway.https());
            let overview = restarted.overview().await.unwrap();
            seen.insert(format!("{:?}", overview.standing));
            let holds_new = store.text(Account::AccessToken).as_deref() == Some("a2");
            assert!(!holds_new || overview.expires_at < before || !rejected, "{changes}");
            match overview.standing {
                Standing::Valid if holds_new => {
                    assert_eq!(text(restarted.access_token().await).as_deref(), Ok("a2"));
                }
                // As before the refresh: the server refuses it again, and it is renewed.
                Standing::Valid => assert!(rejected && changes <= 1, "{changes}"),
                Standing::Refresh if changes == 0 => {
                    assert!(restarted.access_token().await.is_err(), "reuse went unnoticed");
                    let ended = restarted.overview().await.unwrap().standing;
                    assert_eq!(ended, Standing::SignedOut);
                }
                Standing::Refresh => {
                    assert_eq!(text(restarted.access_token().await).as_deref(), Ok("a3"));
                }
                Standing::Reauth | Standing::SignedOut => panic!("lost after {changes} changes"),
            }
        }
    }
    assert_eq!(seen, HashSet::from(["Valid".to_owned(), "Refresh".to_owned()]));
}

#[tokio::test]
async fn a_clearing_killed_between_any_two_changes_leaves_nothing_that_may_be_used() {
    for changes in 1..CHANGES {
        let gateway = rotating(60);
        let (store, sessions) = signed_in(&gateway, 1_000_000);
        store.die_after(Some(changes));
        assert_eq!(sessions.sign_out().await.is_ok(), changes >= 3, "{changes}");
        store.die_after(None);
        let restarted = Sessions::new(&gateway.issuer(), store.keychain(), gateway.https());
        let standing = restarted.overview().await.unwrap().standing;
        let expected = if changes >= 3 { Standing::SignedOut } else { Standing::Reauth };
        assert_eq!(standing, expected, "{changes}");
        assert!(restarted.access_token().await.is_err(), "{changes}");
        // What an interruption left goes with the next sign-out.
        restarted.sign_out().await.unwrap();
        for account in Account::OF_SESSION {
            assert_eq!(store.text(account), None, "{changes}");
        }
    }
}

/// The new session takes the place of another one; with and without a refresh token.
#[tokio::test]
async fn a_sign_in_killed_between_any_two_changes_never_mixes_two_sessions() {
    for renewable in [true, false] {
        for changes in 0..CHANGES {
            let gateway = rotating(60);
            let (store, sessions) = signed_in(&gateway, 1_000_000);
            let record = store.text(Account::SessionMeta).unwrap();
            let mut meta: authority_core::session::SessionMeta =
                serde_json::from_str(&record).unwrap();
            meta.expires_at = crate::clock::now() + 600;
            let secret = |text: &str| authority_core::Secret::new(text.into()).unwrap();
            let refresh = renewable.then(|| secret("r-new"));
            let tokens = Tokens { access: secret("a-new"), refresh, meta: meta.clone() };
            store.die_after(Some(changes));
            let adopted = Arc::clone(&sessions).adopt(&tokens).await;
            store.die_after(None);

            let restarted = Sessions::new(&gateway.issuer(), store.keychain(), gateway.https());
            let overview = restarted.overview().await.unwrap();
            let access = store.text(Account::AccessToken);
            match overview.standing {
                Standing::Valid if changes == 0 => assert_eq!(access.as_deref(), Some("a1")),
                Standing::Valid => {
                    assert!(adopted.is_ok(), "{changes}");
                    assert_eq!(access.as_deref(), Some("a-new"));
                    assert_eq!(overview.expires_at, meta.expires_at);
                }
                Standing::Refresh => {
                    // Whichever access token is there, it has ended.
                    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r-new"));
                    assert_eq!(overview.expires_at, 0, "{changes}");
                }
                Standing::Reauth | Standing::SignedOut => {
                    assert!(changes > 0 && adopted.is_err(), "{changes}");
                }
            }
        }
    }
}
