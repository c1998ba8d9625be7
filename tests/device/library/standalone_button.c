/*
 * standalone_button: looks at a button as stdin has them, "US HELD" a line, and says on stdout at
 * which of them, counted from 0, it had been held long enough.
 */
#include <stdio.h>

#include "examples/standalone/button.h"

int main(void)
{
    struct pt_button button = {0};
    unsigned long now;
    int held;
    for (int look = 0; scanf("%lu %d", &now, &held) == 2; ++look) {
        if (pt_button_look(&button, held != 0, (uint32_t)now)) {
            (void)printf("%d\n", look);
        }
    }
    return 0;
}
