// Group normalisation: a block has one group of one image, adds its numbers up, and writes the results.
//
// To add up, each thread first adds its own share (every 256th number); then the 32 threads of a warp, which
// run in step, hand their sums on to each other (__shfl_down_sync); then the block's warps meet in memory
// that they share. The order is always the same, and so are the bits.
//
// The NumPy lines that it equals (minirnn/ops/normalisation.py, group_norm):
//
//     centred = x - mean(x)                    r = 1 / sqrt(mean(centred * centred) + eps)
//     y = w * (centred * r) + b                then + add, and ReLU
//     dx = r * (g - mean(g) - x_hat * mean(g * x_hat))           with g = w * dy

// The sum of all threads' values, in every thread. All threads of the block must come here.
__device__ inline REAL sum_of_block(REAL value) {
    __shared__ REAL parts[32];
    for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
    __syncthreads();  // the sum before may still be read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    REAL sum = (REAL)0;
    for (unsigned k = 0; k < blockDim.x / 32; k++) sum += parts[k];
    return sum;
}

// x, y: (N, C, area), groups · members numbers an image; means and rs: (N · groups) for the way back.
extern "C" __global__ void group_norm_forward(const REAL *x, const REAL *weight, const REAL *bias,
                                              const REAL *add, REAL *y, REAL *means, REAL *rs,
                                              long long members, long long groups, long long area, double eps,
                                              long long has_add, long long relu) {
    long long block = blockIdx.x, first = block * members;
    long long channel = block % groups * (members / area);  // the group's first
    REAL sum = (REAL)0, squares = (REAL)0;
    for (long long k = threadIdx.x; k < members; k += blockDim.x) sum += x[first + k];
    REAL mean = sum_of_block(sum) / (REAL)members;
    for (long long k = threadIdx.x; k < members; k += blockDim.x) {
        REAL centred = x[first + k] - mean;
        squares += centred * centred;
    }
    REAL r = (REAL)1 / sqrt(sum_of_block(squares) / (REAL)members + (REAL)eps);
    if (threadIdx.x == 0) {
        means[block] = mean;
        rs[block] = r;
    }
    for (long long k = threadIdx.x; k < members; k += blockDim.x) {
        REAL value = weight[channel + k / area] * ((x[first + k] - mean) * r) + bias[channel + k / area];
        if (has_add) value = value + add[first + k];
        if (relu) value = value > (REAL)0 ? value : (value == value ? (REAL)0 : value);
        y[first + k] = value;
    }
}

// dy is that before the ReLU.
extern "C" __global__ void group_norm_backward(const REAL *x, const REAL *dy, const REAL *weight,
                                               const REAL *means, const REAL *rs, REAL *dx,
                                               long long members, long long groups, long long area) {
    long long block = blockIdx.x, first = block * members;
    long long channel = block % groups * (members / area);
    REAL mean = means[block], r = rs[block], sum = (REAL)0, product = (REAL)0;
    for (long long k = threadIdx.x; k < members; k += blockDim.x) {
        REAL g = weight[channel + k / area] * dy[first + k];
        sum += g;
        product += g * ((x[first + k] - mean) * r);
    }
    REAL mean_g = sum_of_block(sum) / (REAL)members, mean_gx = sum_of_block(product) / (REAL)members;
    for (long long k = threadIdx.x; k < members; k += blockDim.x) {
        REAL g = weight[channel + k / area] * dy[first + k];
        dx[first + k] = r * (g - mean_g - (x[first + k] - mean) * r * mean_gx);
    }
}

// Of each channel of each image, Σ dy · x_hat and Σ dy: a block has one of the N · C.
extern "C" __global__ void group_norm_channels(const REAL *x, const REAL *dy, const REAL *means,
                                               const REAL *rs, REAL *dweight, REAL *dbias,
                                               long long channels, long long groups, long long area) {
    long long block = blockIdx.x, first = block * area;
    long long group = block / channels * groups + block % channels / (channels / groups);
    REAL product = (REAL)0, sum = (REAL)0;
    for (long long k = threadIdx.x; k < area; k += blockDim.x) {
        product += dy[first + k] * ((x[first + k] - means[group]) * rs[group]);
        sum += dy[first + k];
    }
    product = sum_of_block(product);
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) {
        dweight[block] = product;
        dbias[block] = sum;
    }
}
