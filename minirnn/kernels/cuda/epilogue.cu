// What follows a convolution's products: + bias, + shortcut, ReLU, in one walk over the map instead of three.
// A thread has one number.
//
// The NumPy lines that it equals (minirnn/ops/convolution.py, _finished):
//
//     y = y + bias[:, None, None]
//     y = y + add
//     y = maximum(y, 0)                        and minimum(y, 6), with relu6

// y: (N, C, area), changed in place; has_bias and has_add are 0 or 1; limit: 6 with relu6, infinity with relu,
// 0 with neither.
extern "C" __global__ void finish(REAL *y, const REAL *bias, const REAL *add, long long count,
                                  long long channels, long long area, long long has_bias,
                                  long long has_add, double limit) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    REAL value = y[at];
    if (has_bias) value = value + bias[at / area % channels];
    if (has_add) value = value + add[at];
    if (limit > 0) {  // NaN stays NaN: no comparison with it holds
        value = value < (REAL)0 ? (REAL)0 : value;
        value = value > (REAL)limit ? (REAL)limit : value;
    }
    y[at] = value;
}

// The way back through the ReLU: dy * (y > 0), and * (y < 6) with relu6.
extern "C" __global__ void let_through(const REAL *dy, const REAL *y, REAL *dx, long long count,
                                       double limit) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    bool through = y[at] > (REAL)0 && (limit > 6 || y[at] < (REAL)limit);
    dx[at] = dy[at] * (through ? (REAL)1 : (REAL)0);
}
