//! The load of the machine as metrics.

use std::sync::{Mutex, PoisonError};

use sysinfo::System;
use tch::Device;

use crate::native::accelerator::memory_stats;
use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx};

/// Logs the GPU's memory, and on request the load of the CPU, at the start and end of batches.
///
/// Mirrors `lightning.pytorch.callbacks.DeviceStatsMonitor`: `DeviceStatsMonitor.on_train_batch_start/cpu_percent`,
/// `cpu_vm_percent`, `cpu_swap_percent`, and for a GPU the numbers of its caching allocator in bytes,
/// `allocated_bytes.all.current` and so on. Logged at the steps that `log_every_n_steps` names, to loggers only.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceStatsMonitor {
    /// Log the CPU's load: `true`, `false`, or when training on the CPU.
    #[serde(default)]
    cpu_stats: Option<bool>,
}

impl Component for DeviceStatsMonitor {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.DeviceStatsMonitor"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Monitor { args: self, system: None }))
    }
}

struct Monitor {
    args: DeviceStatsMonitor,
    /// Kept between calls: the load is that since the last one.
    system: Option<Mutex<System>>,
}

impl Monitor {
    fn values(&mut self, device: Device) -> Vec<(&'static str, f64)> {
        let mut values = Vec::new();
        if let Device::Cuda(_) = device
            && let Ok(stats) = memory_stats(device)
        {
            values.extend([
                ("allocated_bytes.all.current", stats.allocated as f64),
                ("allocated_bytes.all.peak", stats.allocated_peak as f64),
                ("reserved_bytes.all.current", stats.reserved as f64),
                ("reserved_bytes.all.peak", stats.reserved_peak as f64),
                ("num_alloc_retries", stats.retries as f64),
                ("num_ooms", stats.out_of_memory as f64),
            ]);
        }
        if self.args.cpu_stats.unwrap_or(device == Device::Cpu) {
            if self.system.is_none() {
                self.system = System::new().ok().map(Mutex::new);
            }
            let Some(system) = &self.system else { return values };
            let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
            system.refresh_cpu_usage();
            system.refresh_memory();
            let share = |used: u64, total: u64| if total == 0 { 0.0 } else { 100.0 * used as f64 / total as f64 };
            values.extend([
                ("cpu_percent", f64::from(system.global_cpu_usage())),
                ("cpu_vm_percent", share(system.used_memory(), system.total_memory())),
                ("cpu_swap_percent", share(system.used_swap(), system.total_swap())),
            ]);
        }
        values
    }

    fn log(&mut self, hook: &str, batches: u64, cx: &mut Cx) {
        let every = cx.args.log_every();
        if every == 0 || !batches.is_multiple_of(every) {
            return;
        }
        let values = self.values(cx.task.params().device());
        cx.to_loggers.extend(values.into_iter().map(|(name, v)| (format!("DeviceStatsMonitor.{hook}/{name}"), v)));
    }
}

impl Stateful for Monitor {}

impl Callback for Monitor {
    fn name(&self) -> String {
        "DeviceStatsMonitor".into()
    }

    fn on_train_batch_start(&mut self, cx: &mut Cx) -> Result<()> {
        self.log("on_train_batch_start", cx.progress.total_batches + 1, cx);
        Ok(())
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        self.log("on_train_batch_end", cx.progress.total_batches, cx);
        Ok(())
    }
}
