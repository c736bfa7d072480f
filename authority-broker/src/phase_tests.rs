//! The table of RPCs against the descriptor, and the service against the table.

use std::collections::BTreeSet;
use std::sync::Arc;

use authority_api::v1::authority_server::Authority;
use authority_api::v1::{self, sign_in_event, work_event};
use authority_core::Reason;
use authority_core::catalog::judge;
use authority_core::custody::Account;
use authority_core::rpc::{Rpc, admit};
use authority_core::session::{SessionMeta, Standing};
use companion_settings::Gateway as Configured;
use peer_socket::MonitorError;
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::json;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Status};

use super::AuthorityService;
use crate::catalog::Catalogs;
use crate::clock;
use crate::keychain::memory::MemoryStore;
use crate::loopback_token::Loopback;
use crate::session::Sessions;
use crate::signin::SignIns;
use crate::store_view::Supervisor;
use crate::testing::{Gateway, TestConnections, json as json_answer, not_found};
use crate::wanted::Wanted;
use crate::work::Work;

#[test]
fn every_rpc_of_the_descriptor_has_its_row() {
    let set = FileDescriptorSet::decode(authority_api::FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().flat_map(|file| &file.service);
    let described: BTreeSet<_> =
        services.flat_map(|service| &service.method).map(|method| method.name()).collect();
    assert_eq!(described, Rpc::ALL.map(Rpc::name).into());
}

/// A gateway that has nothing, and a supervisor that is not there: whatever is in phase fails
/// later than at the session.
fn service(
    gateway: &Gateway,
    store: &MemoryStore,
    state: &std::path::Path,
    at_hand: bool,
) -> AuthorityService {
    let configured = Configured {
        catalog_url: gateway.url("/catalog").into(),
        issuer: gateway.issuer(),
        catalog_needs_session: true,
        ..Configured::default()
    };
    let (https, keychain) = (gateway.https(), store.keychain());
    let connections = TestConnections::nowhere();
    let sessions = Sessions::new(&configured.issuer, keychain.clone(), https.clone());
    let sign_ins = SignIns::new(
        configured.clone(),
        connections,
        https.clone(),
        keychain.clone(),
        Arc::clone(&sessions),
    );
    let catalogs = match at_hand {
        true => {
            let empty = judge(std::iter::empty(), None, &[]).unwrap();
            Catalogs::holding(empty, true, Arc::clone(&sessions))
        }
        false => {
            let root = Some(b"{}".to_vec());
            Catalogs::new(&configured, root, &[], state, https, Arc::clone(&sessions))
        }
    };
    let nowhere = tower::service_fn(|_: Uri| async {
        Err::<hyper_util::rt::TokioIo<tokio::io::DuplexStream>, _>(MonitorError::Gone)
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(nowhere);
    let work = Work::new(catalogs, Supervisor::new(channel, &[]), Wanted::new(state, "start", ""));
    let loopback = Loopback::new(keychain.clone(), "start");
    AuthorityService { sign_ins, sessions, keychain, loopback, work, launcher_pid: 1 }
}

fn stand_so(store: &MemoryStore, gateway: &Gateway, standing: Standing) {
    let meta = |expires_at| {
        let meta = SessionMeta {
            issuer: gateway.issuer(),
            client_id: "c".to_owned(),
            token_endpoint: gateway.url("/token").into(),
            revocation_endpoint: None,
            scopes: Vec::new(),
            expires_at,
        };
        store.put(Account::SessionMeta, &serde_json::to_string(&meta).unwrap());
    };
    match standing {
        Standing::Valid => {
            meta(clock::now() + 3600);
            store.put(Account::AccessToken, "a1");
        }
        Standing::Refresh => {
            meta(0);
            store.put(Account::RefreshToken, "r1");
        }
        Standing::Reauth => meta(0),
        Standing::SignedOut => {}
    }
}

/// The reason with which an RPC ends, if it is refused.
async fn refusal(service: &AuthorityService, rpc: Rpc) -> Option<String> {
    fn of<T>(answer: Result<T, Status>) -> Option<String> {
        answer.err().map(|status| status.message().to_owned())
    }
    async fn last(
        events: impl Stream<Item = Result<v1::WorkEvent, Status>> + Unpin,
    ) -> Option<String> {
        let events: Vec<_> = events.collect().await;
        let last = events.into_iter().last()?.unwrap().event?;
        if let work_event::Event::Failed(failed) = last { Some(failed.reason) } else { None }
    }
    let id = || "m".to_owned();
    match rpc {
        Rpc::SignIn => {
            let answer = service.sign_in(Request::new(v1::SignInRequest {})).await.unwrap();
            let events: Vec<_> = answer.into_inner().collect().await;
            let last = events.into_iter().last()?.unwrap().event?;
            if let sign_in_event::Event::Failed(failed) = last { Some(failed.reason) } else { None }
        }
        Rpc::SignOut => of(service.sign_out(Request::new(v1::SignOutRequest {})).await),
        Rpc::GetSession => of(service.get_session(Request::new(v1::GetSessionRequest {})).await),
        Rpc::ListCatalog => of(service.list_catalog(Request::new(v1::ListCatalogRequest {})).await),
        Rpc::Pull => {
            let answer = service.pull(Request::new(v1::PullRequest { id: id() })).await;
            last(answer.unwrap().into_inner()).await
        }
        Rpc::Start => {
            let answer = service.start(Request::new(v1::StartRequest { id: id() })).await;
            last(answer.unwrap().into_inner()).await
        }
        Rpc::Stop => of(service.stop(Request::new(v1::StopRequest {})).await),
        Rpc::Remove => of(service.remove(Request::new(v1::RemoveRequest { id: id() })).await),
        Rpc::Verify => of(service.verify(Request::new(v1::VerifyRequest { id: id() })).await),
        Rpc::GetLoopbackToken => {
            of(service.get_loopback_token(Request::new(v1::GetLoopbackTokenRequest {})).await)
        }
    }
}

#[tokio::test]
async fn the_service_refuses_exactly_what_the_table_says_is_out_of_phase() {
    let renewed = json!({"token_type": "Bearer", "access_token": "a2", "expires_in": 3600});
    let gateway = Gateway::start(move |request| match request.uri().path() {
        "/token" => json_answer(200, &renewed),
        _ => not_found(),
    });
    for standing in Standing::ALL {
        for (rpc, at_hand) in Rpc::ALL.into_iter().flat_map(|rpc| [(rpc, false), (rpc, true)]) {
            let (store, state) = (MemoryStore::default(), tempfile::tempdir().unwrap());
            stand_so(&store, &gateway, standing);
            let service = service(&gateway, &store, state.path(), at_hand);
            let said = refusal(&service, rpc).await;
            let out_of_phase = said.as_deref() == Some(Reason::NotSignedIn.as_str());
            let table = admit(rpc, standing, at_hand);
            assert_eq!(
                out_of_phase,
                table.is_err(),
                "{rpc:?} while {standing:?}, a catalog at hand: {at_hand}: {said:?}"
            );
        }
    }
}
