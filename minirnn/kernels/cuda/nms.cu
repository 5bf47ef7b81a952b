// Non-maximum suppression. Which boxes overlap too much is asked of all pairs at the same time, and answered
// in bits; who is kept depends on those before, so one block walks over the bits, 64 boxes at a step.
//
// The NumPy lines that it equals (minirnn/boxes/nms.py, nms; boxes are sorted by falling score before):
//
//     overlaps = iou(ranked, ranked) > threshold
//     for i in range(len(order)):
//         if not dropped[i]:
//             kept.append(i)
//             dropped |= overlaps[i]

__device__ inline REAL area_of(const REAL *box) {
    return max(box[2] - box[0], (REAL)0) * max(box[3] - box[1], (REAL)0);
}

// minirnn/boxes/geometry.py, iou: shared / (union + (union == 0))
__device__ inline REAL iou_of(const REAL *a, const REAL *b) {
    REAL width = max(min(a[2], b[2]) - max(a[0], b[0]), (REAL)0);
    REAL height = max(min(a[3], b[3]) - max(a[1], b[1]), (REAL)0);
    REAL shared = width * height;
    REAL both = area_of(a) + area_of(b) - shared;
    return shared / (both + (both == (REAL)0 ? (REAL)1 : (REAL)0));
}

// bits: (n, words) numbers of 64 bits; bit b of bits[i, word] says whether box i drops box 64 · word + b.
// A thread has one of these numbers. Neighbouring threads have neighbouring boxes i and the same 64 others.
extern "C" __global__ void overlap_bits(const REAL *boxes, const long long *groups, unsigned long long *bits,
                                        long long n, long long words, double threshold) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= n * words) return;
    long long i = at % n, word = at / n;
    unsigned long long found = 0;
    for (long long b = 0; b < 64; b++) {
        long long j = word * 64 + b;
        // Only boxes behind it, and of its own group.
        if (j <= i || j >= n || groups[j] != groups[i]) continue;
        if (iou_of(boxes + 4 * i, boxes + 4 * j) > (REAL)threshold) found |= 1ULL << b;
    }
    bits[i * words + word] = found;
}

// dropped: (words), zeros at first; kept: (n), numbers of the boxes that are kept, in their order;
// total: (1), how many. Runs as one block: its threads wait for each other at __syncthreads().
extern "C" __global__ void walk_bits(const unsigned long long *bits, unsigned long long *dropped,
                                     long long *kept, long long *total, long long n, long long words,
                                     long long at_most) {
    __shared__ unsigned long long alive;  // of the 64 boxes of this step, those that are kept
    __shared__ long long count;
    if (threadIdx.x == 0) count = 0;
    for (long long word = 0; word < words; word++) {
        __syncthreads();
        if (threadIdx.x == 0) {  // inside of the 64, one after the other
            unsigned long long gone = dropped[word];
            alive = 0;
            for (long long b = 0; b < 64 && word * 64 + b < n && count < at_most; b++) {
                if (gone >> b & 1) continue;
                alive |= 1ULL << b;
                kept[count++] = word * 64 + b;
                gone |= bits[(word * 64 + b) * words + word];
            }
        }
        __syncthreads();
        if (count >= at_most) break;
        // What they drop of the boxes behind: each thread looks after other words.
        for (long long w = word + 1 + threadIdx.x; w < words; w += blockDim.x)
            for (long long b = 0; b < 64; b++)
                if (alive >> b & 1) dropped[w] |= bits[(word * 64 + b) * words + w];
    }
    __syncthreads();
    if (threadIdx.x == 0) *total = count;
}
