/* Runs a target on the files that it is given, without libFuzzer: any compiler makes this. */
#include <stdio.h>
#include <stdlib.h>

#include "input.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; ++i) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        const size_t size = (size_t)ftell(file);
        uint8_t *data = fuzz_memory(size + (size == 0u ? 1u : 0u)); /* as large as it is */
        rewind(file);
        if (fread(data, 1, size, file) != size) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        (void)fclose(file);
        (void)fprintf(stderr, "running %s\n", argv[i]); /* the last one is what a report is of */
        (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    return EXIT_SUCCESS;
}
