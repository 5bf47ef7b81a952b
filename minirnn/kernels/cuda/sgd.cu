// A step of gradient descent for all parameters of a model in one launch. A thread has one number.
//
// The parameters lie anywhere in memory: `tables` holds where, three addresses for each of them (parameter,
// gradient, velocity), and `ends` how many numbers there are up to the end of each.
//
// The NumPy lines that it equals (minirnn/ops/sgd.py):
//
//     velocity *= momentum
//     velocity += weight_decay * parameter + gradient
//     parameter -= learning_rate * velocity

extern "C" __global__ void sgd(REAL *const *tables, const long long *ends, const double *decays,
                               long long parameters, long long count, double learning_rate,
                               double momentum) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long low = 0, high = parameters - 1;  // whose number is it? the first that ends behind it
    while (low < high) {
        long long middle = (low + high) / 2;
        if (ends[middle] > at) high = middle;
        else low = middle + 1;
    }
    long long k = at - (low > 0 ? ends[low - 1] : 0);
    REAL *parameter = tables[3 * low] + k, *velocity = tables[3 * low + 2] + k;
    const REAL gradient = tables[3 * low + 1][k];
    REAL speed = *velocity * (REAL)momentum;
    speed = speed + ((REAL)decays[low] * *parameter + gradient);
    *velocity = speed;
    *parameter = *parameter - (REAL)learning_rate * speed;
}
