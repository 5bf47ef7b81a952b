// Pasting all masks of an image in one launch: a thread has one pixel of one mask.
//
// blockIdx.z is the detection, blockIdx.y the row; a block has 128 neighbouring pixels of it.
//
// The NumPy lines that it equals (minirnn/masks/paste.py, paste and weights_of):
//
//     at = place.scale[i] * pixels + place.shift[i]             # clipped to the cells, in "legacy"
//     reads = (pixels >= place.first[i]) & (pixels < place.last[i])
//     read = rows @ mask_probabilities[i] @ columns.T            # two cells of each axis have a weight
//     masks[i] = read >= threshold                               # or >, in "legacy"

struct Two {
    long long low;  // the lower of two neighbouring cells; both may lie outside
    REAL first, second;  // their weights, 0 outside
    bool reads;
};

__device__ inline Two two_of(long long pixel, double first, double last, double scale, double shift,
                             long long cells, long long border) {
    Two two = {0, (REAL)0, (REAL)0, false};
    if (!(pixel >= first && pixel < last)) return two;
    double at = scale * (double)pixel + shift;
    if (border) at = min(max(at, 0.0), (double)(cells - 1));
    REAL place = (REAL)at;
    if (!(place > (REAL)-1 && place < (REAL)cells)) return two;
    two.low = (long long)floor(place);
    // max(0, 1 - |place - cell|), and 0 for a cell that there is not.
    two.first = two.low >= 0 ? (REAL)1 - (place - (REAL)two.low) : (REAL)0;
    two.second = two.low + 1 < cells ? (REAL)1 - ((REAL)(two.low + 1) - place) : (REAL)0;
    two.reads = true;
    return two;
}

// probabilities: (D, cells, cells); the eight (D,) arrays are the places of rows and columns, see `Place`;
// masks: (D, height, width) bool, a byte each.
extern "C" __global__ void paste(const REAL *probabilities, const double *y_first, const double *y_last,
                                 const double *y_scale, const double *y_shift, const double *x_first,
                                 const double *x_last, const double *x_scale, const double *x_shift,
                                 unsigned char *masks, long long height, long long width, long long cells,
                                 long long border, double threshold, long long above) {
    long long i = blockIdx.z, y = blockIdx.y, x = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (x >= width) return;
    Two row = two_of(y, y_first[i], y_last[i], y_scale[i], y_shift[i], cells, border);
    Two column = two_of(x, x_first[i], x_last[i], x_scale[i], x_shift[i], cells, border);
    REAL read = (REAL)0;
    if (row.reads && column.reads) {
        const REAL *mask = probabilities + i * cells * cells;
        long long up = max(row.low, 0LL), down = min(row.low + 1, cells - 1);
        long long left = max(column.low, 0LL), right = min(column.low + 1, cells - 1);
        REAL of_left = row.first * mask[up * cells + left] + row.second * mask[down * cells + left];
        REAL of_right = row.first * mask[up * cells + right] + row.second * mask[down * cells + right];
        read = of_left * column.first + of_right * column.second;
    }
    bool inside = above ? read > (REAL)threshold : read >= (REAL)threshold;
    masks[(i * height + y) * width + x] = inside ? 1 : 0;
}
