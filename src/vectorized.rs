//! Code that is compiled for wide vectors too.
//!
//! Separate multiplications and additions alone (no fused ones), so that both variants give the same bits. What the body calls must
//! be inlined into it: a closure that becomes a function of its own is compiled for the baseline.

/// Compiles `body` twice, for AVX2 and for the baseline, and calls what the processor can run.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn body($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) {
                    body($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2.
                    return unsafe { wide($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;
