<?php

return ['paths' => [], 'compiled' => dirname(getenv('DB'))];
