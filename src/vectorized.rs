//! Code that is compiled for wide vectors too.
//!
//! Separate multiplications and additions alone (no fused ones), so that all variants give the same bits. What the body calls must
//! be inlined into it: a closure that becomes a function of its own is compiled for the baseline.

/// Compiles `body` for AVX-512, for AVX2 and for the baseline, and calls the widest that the processor can run.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn body($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn widest($($argument: $kind),*) {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) {
                    body($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has them, and the first two imply AVX-512F.
                    return unsafe { widest($($argument),*) };
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
