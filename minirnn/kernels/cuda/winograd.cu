// 3×3 convolutions with 2.25 times fewer multiplications, by Winograd's algorithm F(4×4, 3×3): the map is cut in
// tiles of 6×6 that overlap by 2, each gives 4×4 results. Tiles and weights are transformed; then all that is
// left are 36 products of matrices, which cuBLAS does; their results are transformed back. A thread has one
// tile of one channel: it loads 36 numbers, computes with them in its own registers, and stores 36.
// (minirnn/kernels/cpu/winograd.py has where the matrices come from.)
//
// The NumPy lines that it equals (minirnn/ops/convolution.py, _products and _finished), up to rounding:
//
//     d: a 6×6 tile, g: 3×3 weights       y = Aᵀ [ Σ_c (G g Gᵀ) · (Bᵀ d B) ] A       then + bias + add, ReLU
//
// Neighbouring threads have neighbouring tiles, and each of the 36 numbers is stored in a matrix of its own,
// so that a warp's 32 stores are one line of memory.

// out = Bᵀ in, for six numbers `step` apart: sums that share what they can.
__device__ inline void in_six(const REAL *in, REAL *out, int step) {
    REAL d0 = in[0], d1 = in[step], d2 = in[2 * step], d3 = in[3 * step], d4 = in[4 * step], d5 = in[5 * step];
    out[0] = 4 * d0 - 5 * d2 + d4;
    out[step] = (d4 - 4 * d2) + (d3 - 4 * d1);
    out[2 * step] = (d4 - 4 * d2) - (d3 - 4 * d1);
    out[3 * step] = (d4 - d2) + 2 * (d3 - d1);
    out[4 * step] = (d4 - d2) - 2 * (d3 - d1);
    out[5 * step] = 4 * d1 - 5 * d3 + d5;
}

// out = G in: three numbers become six.
__device__ inline void of_three(const REAL *in, REAL *out, int step_in, int step_out) {
    REAL g0 = in[0], g1 = in[step_in], g2 = in[2 * step_in];
    REAL sixth = (REAL)1 / 6, twelfth = (REAL)1 / 12, part = (REAL)1 / 24;
    out[0] = g0 / 4;
    out[step_out] = -(g0 + g2) * sixth - g1 * sixth;
    out[2 * step_out] = -(g0 + g2) * sixth + g1 * sixth;
    out[3 * step_out] = g0 * part + g2 * sixth + g1 * twelfth;
    out[4 * step_out] = g0 * part + g2 * sixth - g1 * twelfth;
    out[5 * step_out] = g2;
}

// out = Aᵀ in: six numbers become four.
__device__ inline void out_four(const REAL *in, REAL *out, int step_in, int step_out) {
    REAL m0 = in[0], m5 = in[5 * step_in];
    REAL ones = in[step_in] + in[2 * step_in], one = in[step_in] - in[2 * step_in];
    REAL twos = in[3 * step_in] + in[4 * step_in], two = in[3 * step_in] - in[4 * step_in];
    out[0] = m0 + ones + twos;
    out[step_out] = one + 2 * two;
    out[2 * step_out] = ones + 4 * twos;
    out[3 * step_out] = one + 8 * two + m5;
}

// weights: (O, C, 3, 3); u: (36, O, C).
extern "C" __global__ void winograd_weights(const REAL *weights, REAL *u, long long count) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    REAL half[18], all[36];
    for (int k = 0; k < 3; k++) of_three(weights + 9 * at + k, half + k, 3, 3);
    for (int k = 0; k < 6; k++) of_three(half + 3 * k, all + 6 * k, 1, 1);
    for (int k = 0; k < 36; k++) u[k * count + at] = all[k];
}

// maps: (N, C, height, width), around which lie `padding` rings of zeros; v: (36, C, N · down · across tiles).
extern "C" __global__ void winograd_in(const REAL *maps, REAL *v, long long count, long long images,
                                       long long channels, long long height, long long width,
                                       long long down, long long across, long long padding) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long tx = at % across, ty = at / across % down, n = at / (across * down) % images;
    long long c = at / (across * down * images);
    const REAL *map = maps + (n * channels + c) * height * width;
    REAL d[36], half[36];
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            long long y = 4 * ty + i - padding, x = 4 * tx + j - padding;
            bool inside = y >= 0 && y < height && x >= 0 && x < width;
            d[6 * i + j] = inside ? map[y * width + x] : (REAL)0;
        }
    for (int k = 0; k < 6; k++) in_six(d + k, half + k, 6);
    for (int k = 0; k < 6; k++) in_six(half + 6 * k, d + 6 * k, 1);
    for (int k = 0; k < 36; k++) v[k * count + at] = d[k];
}

// m: (36, O, tiles), the products; y: (N, O, rows, columns), with what follows a convolution (epilogue.cu).
extern "C" __global__ void winograd_out(const REAL *m, REAL *y, const REAL *bias, const REAL *add,
                                        long long count, long long images, long long outputs,
                                        long long rows, long long columns, long long down,
                                        long long across, long long has_bias, long long has_add,
                                        double limit) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long tx = at % across, ty = at / across % down, n = at / (across * down) % images;
    long long o = at / (across * down * images);
    REAL all[36], half[24], results[16];
    for (int k = 0; k < 36; k++) all[k] = m[k * count + at];
    for (int k = 0; k < 6; k++) out_four(all + k, half + k, 6, 6);
    for (int k = 0; k < 4; k++) out_four(half + 6 * k, results + 4 * k, 1, 1);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            long long row = 4 * ty + i, column = 4 * tx + j;
            if (row >= rows || column >= columns) continue;
            long long place = ((n * outputs + o) * rows + row) * columns + column;
            REAL value = results[4 * i + j];
            if (has_bias) value = value + bias[o];
            if (has_add) value = value + add[place];
            if (limit > 0) {  // NaN stays NaN: no comparison with it holds
                value = value < (REAL)0 ? (REAL)0 : value;
                value = value > (REAL)limit ? (REAL)limit : value;
            }
            y[place] = value;
        }
}
