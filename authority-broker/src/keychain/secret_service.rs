//! The Secret Service of the session bus (GNOME Keyring, KWallet, KeePassXC), with encrypted
//! transport. It is never unlocked from here, and nobody is asked anything.

use std::collections::HashMap;
use std::sync::Arc;

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use futures_util::StreamExt;
use secret_service::{Collection, EncryptionType, Error, Item, SecretService};
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, Proxy};

use crate::connections::Connections;
use crate::limits::KEYCHAIN_PROMPT;

type Service = SecretService<'static>;

/// The Secret Service, and the bus on which it is.
struct Session {
    secrets: Service,
    bus: Connection,
}

/// The accounts of one service name in the default collection.
pub(super) struct SecretServiceStore {
    service: String,
    connections: Connections,
    session: Mutex<Option<Arc<Session>>>,
}

/// Why an act failed.
enum Fault {
    /// The collection or the item is locked.
    Locked,
    /// There is no default collection: the keyring was never initialised.
    NoCollection,
    /// The value is not one that the broker wrote.
    Foreign,
    /// The session is dead, as after a restart of the daemon, or the bus is.
    Dead,
}

#[derive(Clone, Copy)]
enum Act<'a> {
    Look,
    Get(Account),
    Set(Account, &'a Secret),
    Delete(Account),
}

impl SecretServiceStore {
    pub(super) fn new(service: String, connections: Connections) -> Self {
        Self { service, connections, session: Mutex::new(None) }
    }

    pub(super) async fn ready(&self) -> Result<(), Reason> {
        self.perform(Act::Look).await.map(drop)
    }

    pub(super) async fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        self.perform(Act::Get(account)).await
    }

    pub(super) async fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        self.perform(Act::Set(account, secret)).await.map(drop)
    }

    pub(super) async fn delete(&self, account: Account) -> Result<(), Reason> {
        self.perform(Act::Delete(account)).await.map(drop)
    }

    /// Performs an act, and once more over a session made anew when the first one is dead.
    async fn perform(&self, act: Act<'_>) -> Result<Option<Secret>, Reason> {
        for _ in 0..2 {
            let session = self.session().await?;
            match self.perform_over(&session, act).await {
                Ok(secret) => return Ok(secret),
                Err(Fault::Locked) => return Err(Reason::KeychainLocked),
                Err(Fault::Foreign) => return Err(Reason::InvalidSecret),
                Err(Fault::NoCollection) => return Err(Reason::KeychainUnavailable),
                Err(Fault::Dead) => self.forget(&session).await,
            }
        }
        Err(Reason::KeychainUnavailable)
    }

    async fn perform_over(&self, session: &Session, act: Act<'_>) -> Result<Option<Secret>, Fault> {
        let collection = unlocked_default(&session.secrets).await?;
        match act {
            Act::Look => Ok(None),
            Act::Get(account) => {
                let items = self.items(&collection, account).await?;
                match &items[..] {
                    [] => Ok(None),
                    [item] => secret_of(item).await.map(Some),
                    // Two values for one account: which one is meant cannot be known.
                    _ => Err(Fault::Foreign),
                }
            }
            Act::Set(account, secret) => self.store(session, &collection, account, secret).await,
            Act::Delete(account) => {
                for item in self.items(&collection, account).await? {
                    session.delete(&item).await?;
                }
                Ok(None)
            }
        }
    }

    async fn store(
        &self,
        session: &Session,
        collection: &Collection<'_>,
        account: Account,
        secret: &Secret,
    ) -> Result<Option<Secret>, Fault> {
        let mut items = self.items(collection, account).await?.into_iter();
        match items.next() {
            Some(item) => item.set_secret(secret.expose_bytes(), CONTENT_TYPE).await?,
            None => {
                let bytes = secret.expose_bytes();
                let attributes = self.attributes(account);
                collection
                    .create_item(account.name(), attributes, bytes, true, CONTENT_TYPE)
                    .await?;
            }
        }
        for surplus in items {
            session.delete(&surplus).await?;
        }
        Ok(None)
    }

    /// By a subset of the attributes: KeePassXC adds some of its own.
    async fn items<'a>(
        &self,
        collection: &'a Collection<'_>,
        account: Account,
    ) -> Result<Vec<Item<'a>>, Fault> {
        Ok(collection.search_items(self.attributes(account)).await?)
    }

    fn attributes(&self, account: Account) -> HashMap<&str, &str> {
        HashMap::from([("service", self.service.as_str()), ("account", account.name())])
    }

    async fn session(&self) -> Result<Arc<Session>, Reason> {
        let mut held = self.session.lock().await;
        if let Some(session) = &*held {
            return Ok(Arc::clone(session));
        }
        let absent = Reason::KeychainUnavailable;
        let stream = self.connections.session_bus().await.map_err(|_| absent)?;
        let bus = Builder::unix_stream(stream).build().await.map_err(|_| absent)?;
        let secrets = SecretService::connect_with_existing(EncryptionType::Dh, bus.clone())
            .await
            .map_err(|_| absent)?;
        Ok(Arc::clone(held.insert(Arc::new(Session { secrets, bus }))))
    }

    async fn forget(&self, dead: &Arc<Session>) {
        let mut held = self.session.lock().await;
        if held.as_ref().is_some_and(|session| Arc::ptr_eq(session, dead)) {
            *held = None;
        }
    }
}

impl Session {
    /// Deletes an item, where nobody has to be asked: KeePassXC makes a prompt of every deletion,
    /// which is over at once when it wants nothing confirmed.
    async fn delete(&self, item: &Item<'_>) -> Result<(), Fault> {
        item.ensure_unlocked().await?;
        let deleting = Proxy::new(&self.bus, SERVICE, &item.item_path, ITEM).await?;
        let prompt: OwnedObjectPath = deleting.call("Delete", &()).await?;
        if prompt.as_str() == "/" { Ok(()) } else { self.pass(&prompt).await }
    }

    /// Lets a prompt go by that asks nothing; any other is taken back.
    async fn pass(&self, prompt: &OwnedObjectPath) -> Result<(), Fault> {
        let prompt = Proxy::new(&self.bus, SERVICE, prompt, PROMPT).await?;
        let mut completed = prompt.receive_signal("Completed").await?;
        let () = prompt.call("Prompt", &"").await?;
        let Ok(end) = timeout(KEYCHAIN_PROMPT, completed.next()).await else {
            let () = prompt.call("Dismiss", &()).await?;
            return Err(Fault::Locked);
        };
        let (dismissed, _): (bool, OwnedValue) = end.ok_or(Fault::Dead)?.body().deserialize()?;
        if dismissed { Err(Fault::Locked) } else { Ok(()) }
    }
}

const SERVICE: &str = "org.freedesktop.secrets";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";

/// KWallet stores text only; everything the broker keeps is ASCII.
const CONTENT_TYPE: &str = "text/plain";

/// The default collection, looked at first: an item that is not found says nothing while there is
/// no collection or a locked one.
async fn unlocked_default(secrets: &Service) -> Result<Collection<'_>, Fault> {
    let collection = match secrets.get_default_collection().await {
        Ok(collection) => collection,
        Err(Error::NoResult) => return Err(Fault::NoCollection),
        Err(error) => return Err(error.into()),
    };
    if collection.is_locked().await? { Err(Fault::Locked) } else { Ok(collection) }
}

async fn secret_of(item: &Item<'_>) -> Result<Secret, Fault> {
    Secret::new(item.get_secret().await?).map_err(|_| Fault::Foreign)
}

impl From<zbus::Error> for Fault {
    fn from(error: zbus::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Locked | Error::Prompt | Error::PromptDisconnected => Self::Locked,
            Error::Zbus(zbus::Error::MethodError(name, _, _))
                if name.as_str() == "org.freedesktop.Secret.Error.IsLocked" =>
            {
                Self::Locked
            }
            _ => Self::Dead,
        }
    }
}

#[cfg(test)]
#[path = "secret_service_tests.rs"]
mod tests;
