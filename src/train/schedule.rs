//! The learning rate over a run: a linear rise, then a linear fall to 0.

/// Steps of the rise: `fraction` of all, rounded up, as transformers' `warmup_ratio`.
pub fn warmup_steps(fraction: f64, steps: usize) -> usize {
    (fraction * steps as f64).ceil() as usize
}

/// What the learning rate of `step` (from 0) is of the highest: `step / warmup` while it rises, then
/// `(steps - step) / (steps - warmup)`, as transformers' `get_linear_schedule_with_warmup`.
pub fn factor(step: usize, warmup: usize, steps: usize) -> f64 {
    match step < warmup {
        true => step as f64 / warmup as f64,
        false => steps.saturating_sub(step) as f64 / steps.saturating_sub(warmup).max(1) as f64,
    }
}
