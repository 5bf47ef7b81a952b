// Reading between cells along one axis, for every kernel that samples regions.
//
// The NumPy lines that it equals (minirnn/ops/roi_sampling.py, _weights):
//
//     step = side.size[r] / bins
//     position = side.start[r] + bin * step + (k + 0.5) * step / samples
//     reads = (position >= -1) & (position <= length)
//     weights = bilinear_weights(clip(position, 0, length - 1), length) * reads
//
// bilinear_weights gives weight to two neighbours alone, 1 - t to the lower and t to the upper one.
// REAL is float or double: the source is compiled once for each.

struct Reading {
    long long low, high;  // the two cells
    REAL t;               // weight of the upper one
    bool reads;           // false: too far outside, both weights are 0
};

__device__ inline REAL position_of(REAL start, REAL size, long long bins, long long samples,
                                   long long bin, long long k) {
    REAL step = size / (REAL)bins;
    return start + (REAL)bin * step + ((REAL)k + (REAL)0.5) * step / (REAL)samples;
}

__device__ inline Reading reading_at(REAL position, long long length) {
    Reading reading = {0, 0, (REAL)0, position >= (REAL)-1 && position <= (REAL)length};
    if (!reading.reads) return reading;  // not a number, too: nothing is read then
    REAL inside = min(max(position, (REAL)0), (REAL)(length - 1));
    reading.low = (long long)inside;
    reading.high = min(reading.low + 1, length - 1);
    reading.t = inside - (REAL)reading.low;
    return reading;
}

// What a reading takes from one cell.
__device__ inline REAL weight_of(Reading reading, long long cell) {
    if (!reading.reads) return (REAL)0;
    REAL weight = (REAL)0;
    if (cell == reading.low) weight += (REAL)1 - reading.t;
    if (cell == reading.high) weight += reading.t;
    return weight;
}

// How many samples a bin has. A region that is not finite has none, so that nothing runs forever over it
// until the check of its coordinates has come back to the host.
__device__ inline long long samples_of(REAL size, long long samples) {
    return size > (REAL)0 && size < (REAL)1e9 ? samples : 0;
}
