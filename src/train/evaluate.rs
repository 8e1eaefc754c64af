//! Validation, test and prediction: passes without gradient.

use super::task::Rows;
use super::trainer::Trainer;
use super::{Outcomes, Task, limited};
use crate::data::{DataModule, Loader, Split};
use crate::error::{Error, Result};
use crate::tensor::guard;

impl Trainer {
    /// A pass over a split; gives its metrics.
    ///
    /// # Errors
    /// When the data has no such split, or a step fails.
    pub fn evaluate(&mut self, task: &mut dyn Task, data: &dyn DataModule, split: Split) -> Result<Vec<(String, f64)>> {
        self.shape_network(task)?;
        let (loader, batches) = self.loader(data, split)?;
        Ok(self.evaluate_loader(task, &loader, batches, split)?.unwrap_or_default())
    }

    /// A pass over a split; gives its metrics, and what its samples were taken for. Nothing is told of a pass that was
    /// interrupted, nor by tasks without classes.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub fn evaluate_outcomes(
        &mut self,
        task: &mut dyn Task,
        data: &dyn DataModule,
        split: Split,
    ) -> Result<(Vec<(String, f64)>, Option<Outcomes>)> {
        self.log.watch_outcomes();
        let values = self.evaluate(task, data, split);
        let outcomes = self.log.take_outcomes().filter(|_| !self.stop.is_interrupted());
        Ok((values?, outcomes.filter(|outcomes| !outcomes.levels.is_empty())))
    }

    fn loader(&self, data: &dyn DataModule, split: Split) -> Result<(Loader, usize)> {
        let loader =
            data.loader(split)?.ok_or_else(|| Error::request(format!("the data has no {} split", split.name())))?;
        let batches = self.limited(&loader, split)?;
        Ok((loader, batches))
    }

    /// How many batches of a split's loader are used.
    pub(super) fn limited(&self, loader: &Loader, split: Split) -> Result<usize> {
        let (limit, name) = self.args.limit(split);
        limited(loader.batches(), limit, name)
    }

    /// The metrics of a pass; `None` when it was interrupted.
    pub(super) fn evaluate_loader(
        &mut self,
        task: &mut dyn Task,
        loader: &Loader,
        batches: usize,
        split: Split,
    ) -> Result<Option<Vec<(String, f64)>>> {
        self.log.clear();
        task.on_epoch_start(split);
        self.batches = batches;
        self.hook(task, |callback, cx| callback.on_eval_start(split, cx))?;
        for (index, batch) in loader.epoch(0, 0).take(batches).enumerate() {
            if self.stop.is_interrupted() {
                return Ok(None);
            }
            self.batch = index;
            let batch = self.place(batch?)?;
            self.log.set_batch_size(batch.len());
            let (log, precision, device) = (&mut self.log, self.precision, self.device);
            let mut step = || precision.forward(device, || task.eval_step(split, &batch, log));
            tch::no_grad(|| guard(&mut step))
                .map_err(|error| error.context(format!("{} batch {index}", split.name())))?;
            self.hook(task, |callback, cx| callback.on_eval_batch_end(split, cx))?;
        }
        guard(|| task.on_epoch_end(split, &mut self.log))?;
        let values = self.log.epoch_values();
        if !self.sanity_checking {
            self.metrics.extend(self.log.callback_values());
            self.send(&values)?;
        }
        self.hook(task, |callback, cx| callback.on_eval_end(split, cx))?;
        Ok(Some(values))
    }

    /// Predicts a split, handing the rows of each batch to `sink` as they come. Nothing is kept in memory.
    pub fn predict(
        &mut self,
        task: &mut dyn Task,
        data: &dyn DataModule,
        split: Split,
        mut sink: impl FnMut(&[String], Rows) -> Result<()>,
    ) -> Result<usize> {
        self.shape_network(task)?;
        let (mut loader, _) = self.loader(data, split)?;
        // Every sample once, in order, also of the training split.
        (loader.shuffle, loader.drop_last, loader.sampler) = (false, false, None);
        loader.batch_transforms.clear();
        let batches = self.limited(&loader, split)?;
        self.batches = batches;
        self.hook(task, |callback, cx| callback.on_eval_start(Split::Predict, cx))?;
        let mut samples = 0;
        for (index, batch) in loader.epoch(0, 0).take(batches).enumerate() {
            if self.stop.is_interrupted() {
                return Err(Error::failed(format!("interrupted after {samples} predictions")));
            }
            self.batch = index;
            let batch = self.place(batch?)?;
            let ids: Vec<String> = batch.indices.iter().map(|&i| loader.dataset.id(i)).collect();
            let (precision, device) = (self.precision, self.device);
            let rows = tch::no_grad(|| guard(|| precision.forward(device, || task.predict_step(&batch))))
                .map_err(|error| error.context(format!("predict batch {index}")))?;
            samples += rows.rows.len();
            sink(&ids, rows)?;
            self.hook(task, |callback, cx| callback.on_eval_batch_end(Split::Predict, cx))?;
        }
        self.hook(task, |callback, cx| callback.on_eval_end(Split::Predict, cx))?;
        Ok(samples)
    }
}
