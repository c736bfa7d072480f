//! Before a spawn: both files opened, confirmed and held, and the launch planned.

use std::sync::Arc;

use runtime_core::{LaunchPlan, LaunchSettings, Reason};

use super::{House, Job};
use crate::child::LaunchFiles;
use crate::store::{InUse, Kind, Opened, OpenedRuntime, Store};

/// What keeps the files of the job in the store until the job ends.
pub(super) type HeldFiles = Arc<Vec<InUse>>;

/// A launch that can begin.
pub(super) struct Prepared {
    pub(super) plan: LaunchPlan,
    pub(super) files: LaunchFiles,
    pub(super) held: HeldFiles,
}

/// Opens both files, confirms them, and plans the launch; hashing happens off the executor.
pub(super) async fn prepare(
    house: Arc<House>,
    job: Job,
    held: Option<HeldFiles>,
) -> Result<Prepared, Reason> {
    let prepared = tokio::task::spawn_blocking(move || {
        let held = match held {
            Some(held) => held,
            None => {
                // A file that fails is deleted, which one that is held is not.
                open_both(&house.store, &job)?;
                hold(&house.store, &job)
            }
        };
        let (model, runtime) = open_both(&house.store, &job)?;
        let threads = match house.settings.threads {
            0 => house.machine.physical_cores,
            configured => configured,
        };
        let settings = LaunchSettings {
            model_id: &job.model_id,
            socket: &house.socket(),
            context_length: house.settings.context_length,
            parallel: house.settings.parallel,
            threads,
            limits: house.limits,
            gpu: house.settings.gpu,
        };
        let plan = LaunchPlan::new(model.confirmed, runtime.program.confirmed, &settings)?;
        let files = LaunchFiles {
            binary: runtime.program.descriptor,
            model: model.descriptor,
            libraries: runtime.libraries,
        };
        Ok(Prepared { plan, files, held })
    });
    prepared.await.map_err(|_| Reason::StoreUnavailable)?
}

fn open_both(store: &Store, job: &Job) -> Result<(Opened, OpenedRuntime), Reason> {
    let model = store.open_verified(job.model, Kind::Model)?;
    Ok((model, store.open_runtime(job.runtime, job.runtime_kind)?))
}

/// From now on no companion that shares the store removes them. One that cannot be written to
/// holds nothing, and nothing can be removed from it.
fn hold(store: &Store, job: &Job) -> HeldFiles {
    let held = [job.model, job.runtime].map(|spec| store.use_of(spec.digest()));
    if held.iter().any(Result::is_err) {
        tracing::warn!("the files of the runtime are not held");
    }
    Arc::new(held.into_iter().flatten().collect())
}
