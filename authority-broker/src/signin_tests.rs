use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use authority_api::v1::SignInEvent;
use authority_api::v1::sign_in_event::Event as Said;
use authority_core::Reason;
use authority_core::custody::Account;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use companion_settings::Gateway as Configured;
use http::{Request, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::Status;
use url::Url;

use super::SignIns;
use crate::keychain::memory::MemoryStore;
use crate::session::Sessions;
use crate::testing::{Gateway, TestConnections, json, metadata, not_found};
use crate::token_fire_tests::{Answer, WRONG_ANSWERS};

type TokenAnswer = Arc<dyn Fn(&HashMap<String, String>) -> Response<Vec<u8>> + Send + Sync>;

pub(super) struct Stand {
    gateway: Gateway,
    store: MemoryStore,
    sign_ins: Arc<SignIns>,
    /// Paths that were asked for, in their order.
    asked: Arc<Mutex<Vec<String>>>,
}

fn tokens() -> Value {
    json!({"token_type": "Bearer", "access_token": "at", "expires_in": 3600, "refresh_token": "rt"})
}

pub(super) fn stand() -> Stand {
    stand_with(Arc::new(|_| json(200, &tokens())), |_| {})
}

fn stand_with(token_answer: TokenAnswer, change: impl Fn(&mut Configured)) -> Stand {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let gateway = Gateway::start_with_port(|port| {
        move |request: Request<Vec<u8>>| {
            seen.lock().unwrap().push(request.uri().path().to_owned());
            match request.uri().path() {
                "/.well-known/oauth-authorization-server/native" => json(200, &metadata(port)),
                "/register" => json(201, &json!({"client_id": "registered"})),
                "/token" => {
                    let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
                    token_answer(&form)
                }
                "/revoke" => json(200, &json!({})),
                _ => not_found(),
            }
        }
    });
    let mut configured = Configured { issuer: gateway.issuer(), ..Configured::default() };
    change(&mut configured);
    let store = MemoryStore::default();
    let (keychain, https) = (store.keychain(), gateway.https());
    let sessions = Sessions::new(&configured.issuer, keychain.clone(), https.clone());
    let connections = TestConnections::nowhere();
    let sign_ins = SignIns::new(configured, connections, https, keychain, sessions);
    Stand { gateway, store, sign_ins, asked }
}

type Stream = mpsc::Receiver<Result<SignInEvent, Status>>;

impl Stand {
    pub(super) fn attempt(&self) -> Stream {
        let (events, stream) = mpsc::channel(4);
        tokio::spawn(Arc::clone(&self.sign_ins).attempt(events));
        stream
    }

    /// An attempt whose browser answers with what `answer` makes of the authorization URL.
    pub(super) async fn answered(
        &self,
        answer: impl Fn(&Request1) -> String,
    ) -> Result<(), String> {
        let mut stream = self.attempt();
        let request = Request1::of(&mut stream).await;
        browse(&request, &answer(&request)).await;
        outcome(&mut stream).await
    }

    fn tokens_asked(&self) -> bool {
        self.asked.lock().unwrap().iter().any(|path| path == "/token")
    }

    fn is_empty(&self) -> bool {
        Account::ALL.into_iter().all(|account| self.store.text(account).is_none())
    }
}

/// What the authorization URL says.
pub(super) struct Request1 {
    redirect_uri: Url,
    state: String,
    nonce: Option<String>,
    challenge: String,
    client_id: String,
}

impl Request1 {
    pub(super) async fn of(stream: &mut Stream) -> Self {
        let event = stream.recv().await.unwrap().unwrap().event.unwrap();
        let Said::Authorize(authorize) = event else { panic!("{event:?}") };
        let url = Url::parse(&authorize.url).unwrap();
        let mut pairs: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let nonce = pairs.remove("nonce");
        let mut take = |name: &str| pairs.remove(name).unwrap();
        assert_eq!(take("code_challenge_method"), "S256");
        Self {
            redirect_uri: Url::parse(&take("redirect_uri")).unwrap(),
            state: take("state"),
            nonce,
            challenge: take("code_challenge"),
            client_id: take("client_id"),
        }
    }

    pub(super) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.redirect_uri.port().unwrap())
    }
}

pub(super) async fn browse(request: &Request1, query: &str) -> String {
    let stream = TcpStream::connect(request.authority()).await.unwrap();
    browse_over(stream, request, query).await
}

pub(super) async fn browse_over(mut stream: TcpStream, request: &Request1, query: &str) -> String {
    let (path, host) = (request.redirect_uri.path(), request.authority());
    let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

pub(super) async fn outcome(stream: &mut Stream) -> Result<(), String> {
    match stream.recv().await.unwrap().unwrap().event.unwrap() {
        Said::SignedIn(_) => Ok(()),
        Said::Failed(failed) => Err(failed.reason),
        Said::Authorize(_) => panic!("authorized twice"),
    }
}

pub(super) fn right(stand: &Stand) -> impl Fn(&Request1) -> String {
    let issuer = stand.gateway.issuer();
    move |request| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", "c0de").append_pair("state", &request.state);
        query.append_pair("iss", &issuer).finish()
    }
}

#[tokio::test]
async fn a_sign_in_ends_with_the_tokens_in_the_keychain_and_the_verifier_proves_the_challenge() {
    let form: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let seen = Arc::clone(&form);
    let stand = stand_with(
        Arc::new(move |form| {
            *seen.lock().unwrap() = form.clone();
            json(200, &tokens())
        }),
        |_| {},
    );
    let mut stream = stand.attempt();
    let request = Request1::of(&mut stream).await;
    assert_eq!(request.client_id, "registered");
    assert!(request.redirect_uri.path().len() >= "/callback/".len() + 22, "128 bits");
    let page = browse(&request, &right(&stand)(&request)).await;
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("c0de"), "{page}");
    assert_eq!(outcome(&mut stream).await, Ok(()));

    let form = form.lock().unwrap();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "c0de");
    assert_eq!(form["redirect_uri"], request.redirect_uri.as_str());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(challenge, request.challenge);
    assert_eq!(stand.store.text(Account::AccessToken).as_deref(), Some("at"));
    assert_eq!(stand.store.text(Account::RefreshToken).as_deref(), Some("rt"));
    assert!(stand.store.text(Account::SessionMeta).unwrap().contains("registered"));
}

#[tokio::test]
async fn each_wrong_answer_is_refused_with_its_reason_and_no_token_is_asked_for() {
    type Wrong = fn(&Request1, &str) -> String;
    let cases: [(Wrong, &str); 7] = [
        (|r, i| format!("code=c&state={}x&iss={i}", r.state), "state_mismatch"),
        (|_, i| format!("code=c&iss={i}"), "state_missing"),
        (|r, _| format!("code=c&state={}&iss=https://evil.test", r.state), "issuer_mismatch"),
        (|r, _| format!("code=c&state={}", r.state), "issuer_mismatch"),
        (
            |r, i| format!("error=access_denied&state={}&iss={i}", r.state),
            "authorization_server_error",
        ),
        (|r, i| format!("state={}&iss={i}", r.state), "missing_code"),
        (|r, i| format!("code=c&code=d&state={}&iss={i}", r.state), "malformed_input"),
    ];
    for (wrong, reason) in cases {
        let stand = stand();
        let issuer = stand.gateway.issuer();
        let refused = stand.answered(|request| wrong(request, &issuer)).await;
        assert_eq!(refused, Err(reason.to_owned()));
        assert!(!stand.tokens_asked(), "{reason}");
        assert!(stand.is_empty(), "{reason}");
    }
}

#[tokio::test]
async fn an_absent_iss_passes_only_where_it_is_configured_so() {
    let stand = stand_with(Arc::new(|_| json(200, &tokens())), |c| c.require_iss = false);
    let answered = stand.answered(|request| format!("code=c&state={}", request.state)).await;
    assert_eq!(answered, Ok(()));
}

#[tokio::test]
async fn a_token_endpoint_that_fails_leaves_nothing_behind() {
    let refused: Answer = || json(400, &json!({"error": "invalid_grant"}));
    let spent = ("a spent code", refused, Reason::TokenExchangeFailed);
    for (case, answer, reason) in WRONG_ANSWERS.into_iter().chain([spent]) {
        let stand = stand_with(Arc::new(move |_| answer()), |_| {});
        assert_eq!(stand.answered(right(&stand)).await, Err(reason.to_string()), "{case}");
        assert!(stand.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn an_id_token_must_carry_this_attempt_s_nonce() {
    let nonce: Arc<Mutex<String>> = Arc::default();
    let known = Arc::clone(&nonce);
    let issuer: Arc<Mutex<String>> = Arc::default();
    let named = Arc::clone(&issuer);
    let stand = stand_with(
        Arc::new(move |_| {
            let claims = json!({"iss": *named.lock().unwrap(), "aud": "registered",
                                "nonce": *known.lock().unwrap()});
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let mut answer = tokens();
            answer["id_token"] = json!(format!("e30.{payload}.c2ln"));
            json(200, &answer)
        }),
        |c| c.scopes.push("openid".to_owned()),
    );
    *issuer.lock().unwrap() = stand.gateway.issuer();
    "another".clone_into(&mut nonce.lock().unwrap());
    let refused = stand.answered(right(&stand)).await;
    assert_eq!(refused, Err("invalid_token_response".to_owned()));
    assert!(stand.is_empty());
    let answer = right(&stand);
    let accepted = stand
        .answered(|request| {
            nonce.lock().unwrap().clone_from(request.nonce.as_ref().unwrap());
            answer(request)
        })
        .await;
    assert_eq!(accepted, Ok(()));
}

#[tokio::test]
async fn a_plain_oauth_request_carries_no_nonce() {
    let stand = stand();
    let mut stream = stand.attempt();
    assert_eq!(Request1::of(&mut stream).await.nonce, None);
}

#[tokio::test]
async fn tokens_that_cannot_be_kept_are_given_back() {
    let store_to_lock: Arc<Mutex<Option<MemoryStore>>> = Arc::default();
    let locked = Arc::clone(&store_to_lock);
    let stand = stand_with(
        Arc::new(move |_| {
            let store = locked.lock().unwrap();
            store.as_ref().unwrap().refuse(Some(Reason::KeychainLocked));
            json(200, &tokens())
        }),
        |_| {},
    );
    *store_to_lock.lock().unwrap() = Some(stand.store.clone());
    assert_eq!(stand.answered(right(&stand)).await, Err("keychain_locked".to_owned()));
    assert!(stand.asked.lock().unwrap().ends_with(&["/revoke".to_owned(), "/revoke".to_owned()]));
    assert!(stand.is_empty());
}

#[tokio::test]
async fn without_a_keychain_or_an_account_nobody_is_sent_anywhere() {
    let stand = stand();
    for reason in [Reason::KeychainLocked, Reason::KeychainUnavailable] {
        stand.store.refuse(Some(reason));
        assert_eq!(outcome(&mut stand.attempt()).await, Err(reason.to_string()));
    }
    assert_eq!(stand.gateway.requests(), 0);
    let none = stand_with(Arc::new(|_| json(200, &tokens())), |c| c.issuer.clear());
    assert_eq!(outcome(&mut none.attempt()).await, Err("account_not_configured".to_owned()));
}

#[tokio::test]
async fn a_new_attempt_cancels_the_one_before() {
    let stand = stand();
    let mut first = stand.attempt();
    let request = Request1::of(&mut first).await;
    let mut second = stand.attempt();
    let other = Request1::of(&mut second).await;
    assert_eq!(outcome(&mut first).await, Err("sign_in_cancelled".to_owned()));
    assert!(TcpStream::connect(request.authority()).await.is_err(), "its port is still open");
    assert_ne!((&request.state, &request.challenge), (&other.state, &other.challenge));
    browse(&other, &right(&stand)(&other)).await;
    assert_eq!(outcome(&mut second).await, Ok(()));
}

#[tokio::test]
async fn a_caller_who_goes_away_closes_the_port() {
    let stand = stand();
    let (events, mut stream) = mpsc::channel(4);
    let attempt = tokio::spawn(Arc::clone(&stand.sign_ins).attempt(events));
    let request = Request1::of(&mut stream).await;
    drop(stream);
    attempt.await.unwrap();
    assert!(TcpStream::connect(request.authority()).await.is_err());
    assert!(stand.is_empty());
}

#[tokio::test]
async fn nobody_answers_for_180_seconds_is_a_timeout() {
    let stand = stand();
    let mut stream = stand.attempt();
    let request = Request1::of(&mut stream).await;
    let before = tokio::time::Instant::now();
    tokio::time::pause();
    assert_eq!(outcome(&mut stream).await, Err("callback_timeout".to_owned()));
    let took = before.elapsed().as_secs();
    assert!((179..182).contains(&took), "{took}");
    assert!(TcpStream::connect(request.authority()).await.is_err(), "its port is still open");
    assert!(stand.is_empty());
}

#[tokio::test]
async fn a_configured_client_registers_nothing() {
    let stand =
        stand_with(Arc::new(|_| json(200, &tokens())), |c| "static".clone_into(&mut c.client_id));
    let mut stream = stand.attempt();
    let request = Request1::of(&mut stream).await;
    assert_eq!((request.client_id.as_str(), request.redirect_uri.path()), ("static", "/callback"));
    assert!(!stand.asked.lock().unwrap().iter().any(|path| path == "/register"));
}
