// Factors of noise on a CUDA device, from the same counters as on the CPU: Philox4x32-10 as in src/rng.rs, uniform numbers for
// Bernoulli noise (the same bits), pairs of normal numbers by Box-Muller in double precision for Gaussian noise.
// Plain C apart from the qualifiers, so that a test can hold it to the Rust code without a device.

typedef unsigned int u32;
typedef unsigned long long u64;

static __device__ void philox(u32 c[4], u32 k0, u32 k1) {
    for (int round = 0; round < 10; round++) {
        u64 first = 0xD2511F53ull * c[0], second = 0xCD9E8D57ull * c[2];
        u32 a = (u32)(second >> 32) ^ c[1] ^ k0, b = (u32)(first >> 32) ^ c[3] ^ k1;
        c[0] = a;
        c[1] = (u32)second;
        c[2] = b;
        c[3] = (u32)first;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// The top 53 bits as a number in [0, 1).
static __device__ double unit(u32 low, u32 high) {
    return (double)((((u64)high << 32) | low) >> 11) * (1.0 / 9007199254740992.0);
}

// Value `j` of row `i` of `out` [count / width, width] is the factor of number `firsts[i] + j`. Bernoulli noise is 0 below `p`,
// else `scale`; Gaussian noise is 1 + `scale` times a normal number.
#ifdef __cplusplus
extern "C"
#endif
__global__ void factors(const long long *firsts, u32 width, u64 count, u32 k0, u32 k1, u64 step, u32 gaussian, float p,
                        float scale, float *out) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        u64 at = (u64)firsts[i / width] + i % width;
        u64 block = gaussian ? at / 2 : at / 4;
        u32 c[4] = {(u32)block, (u32)(block >> 32), (u32)step, (u32)(step >> 32)};
        philox(c, k0, k1);
        if (gaussian) {
            double radius = sqrt(-2.0 * log(unit(c[0], c[1]) + 1.0 / 9007199254740992.0));
            double angle = 6.283185307179586 * unit(c[2], c[3]);
            float normal = (float)(radius * (at % 2 ? sin(angle) : cos(angle)));
            out[i] = 1.0f + scale * normal;
        } else {
            float uniform = (float)(c[at % 4] >> 8) * (1.0f / 16777216.0f);
            out[i] = uniform < p ? 0.0f : scale;
        }
    }
}
