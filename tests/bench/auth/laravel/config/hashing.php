<?php

return ['driver' => 'argon2id', 'argon' => ['memory' => 19 * 1024, 'time' => 2, 'threads' => 1]];
