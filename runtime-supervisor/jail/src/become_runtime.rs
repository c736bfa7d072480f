//! The order of acts between the jail's birth and the runtime's.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use confine::{
    BINARY_DESCRIPTOR, JailPlan, LIBRARIES_DESCRIPTOR, MAX_PLAN_BYTES, MODEL_DESCRIPTOR, Policy,
};
use rustix::fs::Mode;
use rustix::process::{getpgrp, getpid, setsid, umask};

use crate::directories::{Private, made_anew};
use crate::kernel;
use crate::refusal::Refusal;

/// argv[0] of the runtime.
const NAME: &str = "llama-server";
/// The runtime's files and its socket are for this user alone.
const NOBODY_ELSE: Mode = Mode::RWXG.union(Mode::RWXO);

/// Reads the plan, tightens, and becomes the runtime; returns only why it did not.
pub(crate) fn become_runtime() -> Refusal {
    match try_to_become_runtime() {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

fn try_to_become_runtime() -> Result<Infallible, Refusal> {
    let plan = read_plan()?;
    confine::die_with_parent(plan.supervisor_pid)?;
    let handed = [BINARY_DESCRIPTOR, MODEL_DESCRIPTOR, LIBRARIES_DESCRIPTOR];
    confine::close_all_but(if plan.libraries { &handed } else { &handed[..2] })?;
    let (binary, model) = kernel::binary_and_model()?;
    lead_own_group()?;
    umask(NOBODY_ELSE);
    let private = made_anew(&plan.scratch_dir)?;
    let arguments = arguments(&plan)?;
    let environment = environment(&private)?;
    let policy = Policy::runtime(&plan.scratch_dir, binary, model, plan.max_data_bytes);
    let policy = if plan.gpu { policy.with_gpu() } else { policy };
    let policy = match plan.libraries {
        true => policy.with_libraries(kernel::libraries()?),
        false => policy,
    };
    confine::enter(&policy)?;
    Err(kernel::execute(&arguments, &environment))
}

fn read_plan() -> Result<JailPlan, Refusal> {
    let mut plan = Vec::new();
    kernel::plan()?
        .take(MAX_PLAN_BYTES + 1)
        .read_to_end(&mut plan)
        .map_err(|_| Refusal::PlanUnreadable)?;
    if plan.len() as u64 > MAX_PLAN_BYTES {
        return Err(Refusal::PlanMalformed);
    }
    let plan: JailPlan = serde_json::from_slice(&plan).map_err(|_| Refusal::PlanMalformed)?;
    if plan.scratch_dir.is_absolute() { Ok(plan) } else { Err(Refusal::PlanMalformed) }
}

/// A session of its own has no terminal; a supervisor that already gave the jail a group of its
/// own has left it no session to make, and a group is all that the contract asks for.
fn lead_own_group() -> Result<(), Refusal> {
    match setsid() {
        Ok(_) => Ok(()),
        Err(_) if getpgrp() == getpid() => Ok(()),
        Err(_) => Err(Refusal::NoGroup),
    }
}

fn arguments(plan: &JailPlan) -> Result<Vec<CString>, Refusal> {
    std::iter::once(NAME)
        .chain(plan.arguments.iter().map(String::as_str))
        .map(|argument| CString::new(argument).map_err(|_| Refusal::ArgumentMalformed))
        .collect()
}

/// Built from nothing: `llama-server` takes options from its environment, a shell tool among
/// them.
fn environment(private: &Private) -> Result<Vec<CString>, Refusal> {
    let variable = |name: &str, value: &Path| {
        CString::new([name.as_bytes(), b"=", value.as_os_str().as_bytes()].concat())
            .map_err(|_| Refusal::PlanMalformed)
    };
    Ok(vec![
        variable("HOME", &private.home)?,
        variable("TMPDIR", &private.temporary)?,
        c"LANG=C.UTF-8".to_owned(),
        c"LC_ALL=C.UTF-8".to_owned(),
    ])
}
