//! The few calls of the Secret Service that tests need, over the private bus.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::{BusName, OwnedUniqueName};
use zbus::zvariant::{DynamicType, ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, Message};

pub(super) const NAME: &str = "org.freedesktop.secrets";
const SERVICE_PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
/// GNOME Keyring's own way to create and unlock without a prompt.
const UNATTENDED: &str = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface";

/// Longest any call may take: a frozen service is an error here, never a hang.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Session, algorithm parameters, value, content type.
type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// A connection to the private bus.
#[derive(Debug)]
pub(super) struct SecretService {
    connection: Connection,
}

/// A subscription to who owns a name, made before the change that it waits for.
pub(super) struct OwnerChanges {
    name: &'static str,
    proxy: DBusProxy<'static>,
    changes: NameOwnerChangedStream,
}

impl SecretService {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let connection = zbus::connection::Builder::address(address)?.build();
        let connection =
            tokio::time::timeout(CALL_LIMIT, connection).await.context("the bus")??;
        Ok(Self { connection })
    }

    pub(super) async fn owner_changes(&self, name: &'static str) -> Result<OwnerChanges> {
        let proxy = DBusProxy::new(&self.connection).await?;
        let changes = proxy.receive_name_owner_changed_with_args(&[(0, name)]).await?;
        Ok(OwnerChanges { name, proxy, changes })
    }

    /// Makes the default collection where a fresh keyring has none, and unlocks it.
    pub(super) async fn ensure_default_collection(&self, password: &str) -> Result<()> {
        if self.default_collection().await?.is_none() {
            let properties =
                HashMap::from([("org.freedesktop.Secret.Collection.Label", Value::from("Login"))]);
            let master = self.master(password).await?;
            let body = (properties, master);
            let made: OwnedObjectPath =
                self.call(SERVICE_PATH, UNATTENDED, "CreateWithMasterPassword", &body).await?;
            self.invoke(SERVICE_PATH, SERVICE, "SetAlias", &("default", made)).await?;
        }
        if self.is_locked().await? { self.unlock(password).await } else { Ok(()) }
    }

    pub(super) async fn has_default_collection(&self) -> Result<bool> {
        Ok(self.default_collection().await?.is_some())
    }

    pub(super) async fn is_locked(&self) -> Result<bool> {
        let collection = self.require_default().await?;
        let locked = self.property(&collection, COLLECTION, "Locked").await?;
        Ok(bool::try_from(locked)?)
    }

    pub(super) async fn lock(&self) -> Result<()> {
        let collection = self.require_default().await?;
        self.invoke(SERVICE_PATH, SERVICE, "Lock", &(vec![collection],)).await?;
        ensure!(self.is_locked().await?, "the collection stays unlocked");
        Ok(())
    }

    pub(super) async fn unlock(&self, password: &str) -> Result<()> {
        let body = (self.require_default().await?, self.master(password).await?);
        self.invoke(SERVICE_PATH, UNATTENDED, "UnlockWithMasterPassword", &body).await?;
        ensure!(!self.is_locked().await?, "the collection stays locked");
        Ok(())
    }

    /// Paths of the unlocked and of the locked items with these attributes.
    pub(super) async fn search(
        &self,
        attributes: &[(&str, &str)],
    ) -> Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)> {
        let attributes: HashMap<&str, &str> = attributes.iter().copied().collect();
        self.call(SERVICE_PATH, SERVICE, "SearchItems", &(attributes,)).await
    }

    pub(super) async fn secret(&self, attributes: &[(&str, &str)]) -> Result<Option<Vec<u8>>> {
        let (unlocked, _) = self.search(attributes).await?;
        ensure!(unlocked.len() <= 1, "{} items have these attributes", unlocked.len());
        let Some(item) = unlocked.into_iter().next() else { return Ok(None) };
        let session = self.open_session().await?;
        let secret: Secret = self.call(&item, ITEM, "GetSecret", &(session,)).await?;
        Ok(Some(secret.2))
    }

    pub(super) async fn items(&self) -> Result<Vec<HashMap<String, String>>> {
        let collection = self.require_default().await?;
        let items = self.property(&collection, COLLECTION, "Items").await?;
        let mut all = Vec::new();
        for item in Vec::<OwnedObjectPath>::try_from(items)? {
            let attributes = self.property(&item, ITEM, "Attributes").await?;
            all.push(HashMap::<String, String>::try_from(attributes)?);
        }
        Ok(all)
    }

    async fn default_collection(&self) -> Result<Option<OwnedObjectPath>> {
        let path: OwnedObjectPath =
            self.call(SERVICE_PATH, SERVICE, "ReadAlias", &("default",)).await?;
        Ok((path.as_str() != "/").then_some(path))
    }

    async fn require_default(&self) -> Result<OwnedObjectPath> {
        self.default_collection().await?.context("no default collection")
    }

    /// The password as a secret of a new plain session: the bus is private to this test.
    async fn master(&self, password: &str) -> Result<Secret> {
        let session = self.open_session().await?;
        Ok((session, Vec::new(), password.as_bytes().to_vec(), "text/plain".to_owned()))
    }

    async fn open_session(&self) -> Result<OwnedObjectPath> {
        let body = ("plain", Value::from(""));
        let (_, session): (OwnedValue, OwnedObjectPath) =
            self.call(SERVICE_PATH, SERVICE, "OpenSession", &body).await?;
        Ok(session)
    }

    async fn property(&self, path: &str, interface: &str, name: &str) -> Result<OwnedValue> {
        let properties = "org.freedesktop.DBus.Properties";
        self.call(path, properties, "Get", &(interface, name)).await
    }

    async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R>
    where
        B: serde::Serialize + DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let reply = self.invoke(path, interface, method, body).await?;
        Ok(reply.body().deserialize()?)
    }

    async fn invoke<B>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        self.invoke_at(NAME, path, interface, method, body).await
    }

    /// Calls a method of whoever owns a name.
    pub(super) async fn invoke_at<B>(
        &self,
        name: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let path = ObjectPath::try_from(path)?;
        let call = self.connection.call_method(Some(name), path, Some(interface), method, body);
        let reply = tokio::time::timeout(CALL_LIMIT, call);
        Ok(reply.await.with_context(|| format!("{method}: no answer"))??)
    }
}

impl OwnerChanges {
    /// Resolves when the name is owned.
    pub(super) async fn owned(self) -> Result<()> {
        self.until(true).await
    }

    /// Resolves when nobody owns the name.
    pub(super) async fn free(self) -> Result<()> {
        self.until(false).await
    }

    async fn until(mut self, owned: bool) -> Result<()> {
        if self.proxy.name_has_owner(BusName::try_from(self.name)?).await? == owned {
            return Ok(());
        }
        loop {
            let change = self.changes.next().await.context("the bus has ended")?;
            let owner: Option<OwnedUniqueName> =
                change.args()?.new_owner().as_ref().map(|owner| owner.clone().into());
            if owner.is_some() == owned {
                return Ok(());
            }
        }
    }
}
