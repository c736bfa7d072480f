//! tmp
use anyhow::Result;
use devstack::assets::Assets;
use devstack::companion::{Companion, CompanionOptions};
use devstack::session_bus::SessionBus;
use devstack::stack::{Stack, StackOptions};
#[tokio::test(flavor = "multi_thread")]
async fn real() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bus = SessionBus::start_without_keyring(&{
        let d = dir.path().join("b");
        std::fs::create_dir(&d)?;
        d
    })
    .await?;
    bus.start_keyring().await?;
    let a = Assets::find()?;
    let mut o = StackOptions::new(dir.path());
    o.llama_server = Some(a.llama_server);
    o.model = Some(a.model);
    let t = std::time::Instant::now();
    let stack = Stack::start(o).await?;
    eprintln!("stack {:?}", t.elapsed());
    eprintln!("{}", std::fs::read_to_string(stack.config())?);
    let c = Companion::up(
        &stack,
        CompanionOptions { dbus_address: Some(bus.address().into()), ..Default::default() },
    )
    .await;
    let c = match c {
        Ok(c) => c,
        Err(e) => {
            eprintln!("up: {e:#}");
            return Ok(());
        }
    };
    eprintln!("status {:#}", c.status().await?);
    eprintln!("sign-in {:?}", c.sign_in().await?);
    for id in [devstack::RUNTIME_ID, devstack::MODEL_ID] {
        eprintln!("pull {:?}", c.ctl_events(&["pull", id]).await?.lines.last());
    }
    eprintln!("start {:?}", c.ctl_events(&["start", devstack::MODEL_ID]).await?);
    eprintln!("status {:#}", c.status().await?);
    eprintln!(
        "gw {:?}\nmh {:?}\nitems {:?}",
        stack.gateway.counts(),
        stack.model_host.counts(),
        bus.items().await?
    );
    eprintln!("{}", c.log());
    eprintln!("stop {:?}", c.stop().await?);
    Ok(())
}
